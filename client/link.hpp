// A machine and its socket: reads for it, writes for it, connects it again, tells it the time. The clock of the client is read here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "client/machine.hpp"

namespace millrace::client {

/// Who acts on the events of a link.
class event_taker {
public:
    virtual ~event_taker() = default;

    /// Called once in a turn, never inside a request.
    virtual void on_events(std::vector<event>& events) = 0;

    /// The link was destroyed with its execution context, before its end: no event comes any more, and nobody runs a handler.
    virtual void on_destroyed() = 0;
};

class link : public std::enable_shared_from_this<link> {
public:
    link(boost::asio::any_io_executor executor, machine_settings settings, std::weak_ptr<event_taker> taker);

    /// Connects to `server`, again when the machine wants it, and runs until the machine is over. `taker` lives until then. The last event is `ended`; `closed` is called
    /// after it, when nothing of the link runs any more.
    static void start(std::shared_ptr<link> self, std::shared_ptr<event_taker> taker, std::string server, duration connect_timeout,
                      std::function<void()> closed);

    /// The machine, to ask something of: a turn is under way afterwards and will end.
    machine& ask();

    /// Writes what need not wait for the end of the turn: a batch that is full.
    void send() {
        if (is_attached_) write();
    }

    /// Ends the connection when everything is answered.
    void close();

    /// Ends the connection now; every operation gets `reason`.
    void abort(error reason);

private:
    static boost::asio::awaitable<void> run(std::shared_ptr<link> self, std::string server, duration connect_timeout, std::function<void()> closed);
    static boost::asio::awaitable<error> open_socket(std::shared_ptr<link> self, std::string server);
    static boost::asio::awaitable<void> serve(std::shared_ptr<link> self, std::string server, duration connect_timeout);
    static boost::asio::awaitable<void> pause(std::shared_ptr<link> self);
    static boost::asio::awaitable<error> read(std::shared_ptr<link> self);
    static boost::asio::awaitable<void> wait_until_written(std::shared_ptr<link> self);
    static boost::asio::awaitable<void> wait_until_quiet(std::shared_ptr<link> self);

    void schedule_turn();
    void turn();
    void write();
    void on_written(const boost::system::error_code& failed);
    void watch_deadline();
    void on_deadline(const boost::system::error_code& canceled);
    void leave_socket();
    void close_socket();

    boost::asio::any_io_executor executor_;
    boost::asio::ip::tcp::resolver resolver_;
    boost::asio::ip::tcp::socket socket_;
    boost::asio::steady_timer deadline_;
    boost::asio::steady_timer retry_;
    boost::asio::steady_timer quiet_;  // never expires; cancelled when the last write or wait has ended
    std::weak_ptr<event_taker> taker_;
    machine machine_;
    std::vector<event> events_;
    outgoing writing_;
    std::vector<boost::asio::const_buffer> pieces_;
    moment armed_for_ = never;
    bool turn_scheduled_ = false;
    bool is_attached_ = false;  // the socket is open and the machine's
    bool is_writing_ = false;
    bool is_waiting_ = false;
};

}  // namespace millrace::client
