#include "client/link.hpp"

#include <exception>
#include <span>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "client/with_timeout.hpp"
#include "proto/tcp_settings.hpp"

namespace millrace::client {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

moment now() { return std::chrono::steady_clock::now(); }

struct address {
    std::string host;
    std::string port;
};

/// HOST:PORT, [V6]:PORT. An address without a port has an empty one.
address split(const std::string& server) {
    const auto colon = server.rfind(':');
    if (colon == std::string::npos) return {server, {}};
    auto host = server.substr(0, colon);
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    return {std::move(host), server.substr(colon + 1)};
}

/// Belongs to a link's completion handler, which its context destroys uncalled when it is destroyed before the link's end. Keeps the taker.
class until_the_end {
public:
    explicit until_the_end(std::shared_ptr<event_taker> taker) : taker_(std::move(taker)) {}
    until_the_end(until_the_end&&) = default;
    ~until_the_end() {
        if (taker_) taker_->on_destroyed();
    }

    void reached() { taker_.reset(); }

private:
    std::shared_ptr<event_taker> taker_;
};

error cannot_connect(const std::string& server, const std::string& why) {
    return {errc::connection_lost, "cannot connect to " + server + ": " + why};
}

}  // namespace

link::link(asio::any_io_executor executor, machine_settings settings, std::weak_ptr<event_taker> taker)
    : executor_(std::move(executor)),
      resolver_(executor_),
      socket_(executor_),
      deadline_(executor_),
      retry_(executor_),
      quiet_(executor_, never),
      taker_(std::move(taker)),
      machine_(std::move(settings)) {}

void link::start(std::shared_ptr<link> self, std::shared_ptr<event_taker> taker, std::string server, duration connect_timeout,
                 std::function<void()> closed) {
    const auto executor = self->executor_;
    // What is thrown here leaves io_context::run(), as with every Asio operation.
    asio::co_spawn(executor, run(std::move(self), std::move(server), connect_timeout, std::move(closed)),
                   [end = until_the_end(std::move(taker))](std::exception_ptr thrown) mutable {
                       end.reached();
                       if (thrown) std::rethrow_exception(thrown);
                   });
}

machine& link::ask() {
    if (!turn_scheduled_) {
        machine_.time_passed(now());
        schedule_turn();
    }
    return machine_;
}

void link::close() {
    ask().close();
    // Before the hello is answered there is nothing to wait for.
    if (machine_.is_over()) close_socket();
}

void link::abort(error reason) {
    machine_.lost(std::move(reason));
    close_socket();
    schedule_turn();
}

// ---- the life of the connection ------------------------------------------------------------------------------------------

asio::awaitable<void> link::run(std::shared_ptr<link> self, std::string server, duration connect_timeout, std::function<void()> closed) {
    co_await serve(self, server, connect_timeout);
    while (!self->machine_.is_over()) {
        co_await pause(self);
        if (!self->machine_.is_over()) co_await serve(self, server, connect_timeout);
    }
    self->close_socket();
    self->turn();
    co_await wait_until_quiet(self);
    closed();
}

/// One connection, from the attempt to its end.
asio::awaitable<void> link::serve(std::shared_ptr<link> self, std::string server, duration connect_timeout) {
    auto failed = co_await with_timeout(open_socket(self, server), connect_timeout);
    if (!failed) failed = error{errc::timed_out, "no connection to " + server + " in time"};
    if (!*failed && !self->machine_.is_over()) {
        self->is_attached_ = true;
        self->machine_.connected(now());
        self->schedule_turn();
        failed = co_await read(self);
    }
    self->machine_.time_passed(now());
    self->machine_.lost(std::move(*failed));
    self->leave_socket();
    self->turn();
    co_await wait_until_written(self);
}

asio::awaitable<void> link::pause(std::shared_ptr<link> self) {
    self->retry_.expires_after(self->machine_.next_pause());
    co_await self->retry_.async_wait(as_result);
}

asio::awaitable<error> link::open_socket(std::shared_ptr<link> self, std::string server) {
    const auto to = split(server);
    if (to.host.empty() || to.port.empty()) co_return error{errc::invalid_argument, "'" + server + "' is not HOST:PORT"};
    auto [unresolved, endpoints] = co_await self->resolver_.async_resolve(to.host, to.port, as_result);
    if (unresolved) co_return cannot_connect(server, unresolved.message());
    auto [refused, endpoint] = co_await asio::async_connect(self->socket_, endpoints, as_result);
    if (refused) co_return cannot_connect(server, refused.message());
    proto::set_up(self->socket_);
    co_return error{};
}

asio::awaitable<error> link::read(std::shared_ptr<link> self) {
    while (self->is_attached_ && self->machine_.is_connected()) {
        const auto room = self->machine_.read_buffer();
        const auto [failed, size] = co_await self->socket_.async_read_some(asio::buffer(room.data(), room.size()), as_result);
        if (failed == asio::error::eof) co_return error{errc::connection_lost, "the broker closed the connection"};
        if (failed) co_return error{errc::connection_lost, failed.message()};
        self->machine_.received(now(), size);
        self->turn();
    }
    co_return error{};
}

asio::awaitable<void> link::wait_until_written(std::shared_ptr<link> self) {
    while (self->is_writing_) {
        self->quiet_.expires_at(never);
        co_await self->quiet_.async_wait(as_result);
    }
}

asio::awaitable<void> link::wait_until_quiet(std::shared_ptr<link> self) {
    while (self->is_writing_ || self->is_waiting_) {
        self->quiet_.expires_at(never);
        co_await self->quiet_.async_wait(as_result);
    }
}

/// The machine goes on without it, for now or for good.
void link::leave_socket() {
    is_attached_ = false;
    boost::system::error_code ignored;
    socket_.close(ignored);
}

void link::close_socket() {
    leave_socket();
    resolver_.cancel();
    deadline_.cancel();
    retry_.cancel();
}

// ---- turns -----------------------------------------------------------------------------------------------------------------

void link::schedule_turn() {
    if (std::exchange(turn_scheduled_, true)) return;
    asio::post(executor_, [self = shared_from_this()] { self->turn(); });
}

void link::turn() {
    // Requests made while the events are acted on belong to this turn.
    turn_scheduled_ = true;
    machine_.take_events(events_);
    if (const auto taker = taker_.lock(); taker && !events_.empty()) taker->on_events(events_);
    events_.clear();
    machine_.end_turn();
    turn_scheduled_ = false;
    if (machine_.has_events()) schedule_turn();
    if (machine_.is_over()) return close_socket();
    if (is_attached_ && !machine_.is_connected()) leave_socket();
    if (is_attached_) write();
    watch_deadline();
}

void link::write() {
    if (is_writing_ || !machine_.has_output()) return;
    is_writing_ = true;
    writing_.clear();
    machine_.take_output(writing_);
    pieces_.clear();
    writing_.gather([&](std::span<const std::byte> piece) { pieces_.emplace_back(piece.data(), piece.size()); });
    asio::async_write(socket_, std::span<const asio::const_buffer>(pieces_),
                      [self = shared_from_this()](const boost::system::error_code& failed, std::size_t) { self->on_written(failed); });
}

void link::on_written(const boost::system::error_code& failed) {
    is_writing_ = false;
    writing_.clear();
    quiet_.cancel();
    if (!is_attached_) return;
    if (!failed) return write();
    machine_.lost({errc::connection_lost, failed.message()});
    turn();
}

void link::watch_deadline() {
    const auto next = machine_.next_deadline();
    // A wait that ends too early only looks again: arming for every turn would cost more.
    if (next == never || (is_waiting_ && armed_for_ <= next)) return;
    armed_for_ = next;
    is_waiting_ = true;
    deadline_.expires_at(next);
    deadline_.async_wait([self = shared_from_this(), next](const boost::system::error_code& canceled) {
        if (self->armed_for_ == next) self->on_deadline(canceled);
    });
}

void link::on_deadline(const boost::system::error_code& canceled) {
    is_waiting_ = false;
    armed_for_ = never;
    quiet_.cancel();
    if (canceled || machine_.is_over()) return;
    machine_.time_passed(now());
    turn();
}

}  // namespace millrace::client
