// One TCP connection: reads into its wire_session, writes what that has to say. Owned by shared_ptr, as its IO may outlive its place in the broker.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <vector>

#include "broker/server/wire_session.hpp"

namespace millrace::server {

class connection : public std::enable_shared_from_this<connection> {
public:
    connection(boost::asio::ip::tcp::socket socket, core::session_id id, const session_settings& settings, timestamp now);

    wire_session& session() { return session_; }
    const wire_session& session() const { return session_; }
    boost::asio::ip::tcp::socket& socket() { return socket_; }

    /// HOST:PORT of the client, as it was when it came.
    const std::string& peer() const { return peer_; }
    timestamp opened_at() const { return opened_at_; }

    /// Writes what there is to write, until there is nothing; then, when the session is closing, ends the connection. Returns at once.
    void write();

    /// Drops the connection without another word.
    void abort();

    /// Bytes are on their way out and nothing has moved since `since`.
    bool stuck(timestamp since) const { return writing_ && last_write_ < since; }

    void note_time(timestamp now) { now_ = now; }

    /// What the client says next is not listened to yet.
    bool waits() const { return waits_; }
    void wait() { waits_ = true; }
    void resume() { waits_ = false; }

private:
    void write_some();
    void written(const boost::system::error_code& ec);

    boost::asio::ip::tcp::socket socket_;
    wire_session session_;
    std::string peer_;
    timestamp opened_at_;
    output writing_output_;
    std::vector<boost::asio::const_buffer> buffers_;
    bool writing_ = false;
    bool waits_ = false;
    timestamp now_;
    timestamp last_write_;
};

}  // namespace millrace::server
