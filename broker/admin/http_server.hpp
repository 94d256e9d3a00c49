// HTTP for people and scripts, on the broker's own loop: connections, limits and timeouts are here; what is answered is in pages.hpp.
//
//   accept_loop ─► serve (one coroutine a connection) ─► pages ─► view of the broker
//
// Whoever is slow, silent or wrong costs one connection, and nobody notices: a request has so long to arrive, an answer so long to be taken, and when
// all connections are taken, a new one takes the place of the one that has been waiting longest for its next request.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "broker/admin/pages.hpp"
#include "millrace/error.hpp"

namespace millrace::admin {

struct http_settings {
    std::size_t connections_max = 64;
    std::size_t header_bytes_max = 8u << 10;
    std::size_t answer_bytes_max = 64u << 20;           // of all answers that are on their way out
    std::chrono::milliseconds idle_timeout{75'000};     // between requests
    std::chrono::milliseconds request_timeout{10'000};  // from its first byte to its last
    std::chrono::milliseconds answer_timeout{30'000};   // until the peer has taken all of it
};

/// One thread: that of `io`. Its coroutines end with `io`, which must be stopped before the server goes.
class http_server {
public:
    /// `site` outlives the server.
    http_server(boost::asio::io_context& io, pages& site, const http_settings& settings = {});

    /// Binds and begins to accept. Errors: invalid_argument with the address and the system's reason. Returns the bound endpoint.
    result<boost::asio::ip::tcp::endpoint> listen(const boost::asio::ip::tcp::endpoint& where);

    std::size_t connections() const { return connections_.size(); }

private:
    struct connection;

    boost::asio::awaitable<void> accept_loop();
    boost::asio::awaitable<void> serve(std::shared_ptr<connection> c);
    boost::asio::awaitable<bool> serve_one(connection& c);
    boost::asio::awaitable<bool> send(connection& c, page answer, unsigned version, bool head_only, bool keep);
    bool make_room();
    void forget(const connection& c);

    boost::asio::io_context& io_;
    pages& site_;
    http_settings settings_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::size_t answer_bytes_ = 0;
    std::vector<std::shared_ptr<connection>> connections_;  // in the order of their last request
};

}  // namespace millrace::admin
