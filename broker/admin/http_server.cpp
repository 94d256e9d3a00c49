#include "broker/admin/http_server.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>

#include "broker/endpoint.hpp"

namespace millrace::admin {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

namespace {

/// What a peer still sends after its last answer is read and dropped, so that the answer is not lost in a reset: so much, for so long.
constexpr std::size_t farewell_bytes = 64u << 10;
constexpr auto farewell_time = std::chrono::seconds{1};

/// What a request that is none is told; nothing when the peer is gone, or slow.
std::optional<page> refusal_of(const beast::error_code& ec, std::size_t header_bytes_max) {
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
        return failure(431, "header_too_large", "the request's head is longer than " + std::to_string(header_bytes_max) + " bytes");
    if (ec.category() == beast::error_code(http::error::bad_method).category() && ec != http::error::end_of_stream && ec != http::error::partial_message)
        return failure(400, "bad_request", "the request is not HTTP/1.1: " + ec.message());
    return std::nullopt;
}

}  // namespace

struct http_server::connection {
    connection(tcp::socket socket, std::size_t header_bytes_max) : stream(std::move(socket)), buffer(header_bytes_max) {}

    beast::tcp_stream stream;
    beast::flat_buffer buffer;
    bool waiting = true;  // for a whole request: it may have to make room
};

http_server::http_server(asio::io_context& io, pages& site, const http_settings& settings)
    : io_(io), site_(site), settings_(settings), acceptor_(io) {}

result<tcp::endpoint> http_server::listen(const tcp::endpoint& where) {
    auto bound = start_listening(acceptor_, where);
    if (!bound) return error{bound.failure().code, "admin HTTP " + bound.failure().what + " (choose another place with --admin, or none)"};
    asio::co_spawn(io_, accept_loop(), asio::detached);
    return bound;
}

asio::awaitable<void> http_server::accept_loop() {
    while (acceptor_.is_open()) {
        auto [ec, socket] = co_await acceptor_.async_accept(awaiting);
        if (ec == asio::error::operation_aborted) break;
        if (ec) {  // out of descriptors: the broker's own acceptor says so
            asio::steady_timer pause(io_, std::chrono::milliseconds{100});
            co_await pause.async_wait(awaiting);
            continue;
        }
        if (!make_room()) continue;  // everybody is being answered: the socket closes
        auto c = std::make_shared<connection>(std::move(socket), settings_.header_bytes_max);
        connections_.push_back(c);
        asio::co_spawn(io_, serve(c), asio::detached);
    }
}

bool http_server::make_room() {
    if (connections_.size() < settings_.connections_max) return true;
    const auto oldest = std::find_if(connections_.begin(), connections_.end(), [](const auto& c) { return c->waiting; });
    if (oldest == connections_.end()) return false;
    (*oldest)->stream.close();
    connections_.erase(oldest);
    return true;
}

void http_server::forget(const connection& c) {
    std::erase_if(connections_, [&](const auto& other) { return other.get() == &c; });
}

asio::awaitable<void> http_server::serve(std::shared_ptr<connection> c) {
    while (co_await serve_one(*c)) {
        const auto at = std::find(connections_.begin(), connections_.end(), c);
        if (at == connections_.end()) break;  // it had to make room
        std::rotate(at, at + 1, connections_.end());
    }
    c->waiting = true;
    boost::system::error_code ec;
    c->stream.socket().shutdown(tcp::socket::shutdown_send, ec);
    c->stream.expires_after(farewell_time);
    for (std::size_t dropped = 0; !ec && dropped < farewell_bytes;) {
        c->buffer.clear();
        const auto [ended, n] = co_await c->stream.async_read_some(c->buffer.prepare(1024), awaiting);
        ec = ended;
        dropped += n;
    }
    c->stream.close();
    forget(*c);
}

/// Whether another request may follow.
asio::awaitable<bool> http_server::serve_one(connection& c) {
    c.waiting = true;
    if (c.buffer.size() == 0) {
        c.stream.expires_after(settings_.idle_timeout);
        const auto [ended, n] = co_await c.stream.async_read_some(c.buffer.prepare(1024), awaiting);
        if (ended) co_return false;
        c.buffer.commit(n);
    }
    c.stream.expires_after(settings_.request_timeout);
    http::request_parser<http::empty_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(settings_.header_bytes_max));
    const auto [failed, read] = co_await http::async_read_header(c.stream, c.buffer, parser, awaiting);
    c.waiting = false;
    if (failed) {
        if (auto refused = refusal_of(failed, settings_.header_bytes_max)) co_await send(c, std::move(*refused), 11, false, false);
        co_return false;
    }
    const auto& head = parser.get();
    if (head.version() == 11 && head.find(http::field::host) == head.end()) {
        auto refused = failure(400, "bad_request", "an HTTP/1.1 request names its Host");
        co_await send(c, std::move(refused), 11, false, false);
        co_return false;
    }
    const auto has_body = !parser.is_done();
    const auto keep = head.keep_alive() && !has_body;
    request asked;  // named, as GCC 12 destroys what is built between the braces of a call that is awaited twice
    asked.method = head.method_string();
    asked.target = head.target();
    asked.authorization = head[http::field::authorization];
    auto answer = co_await site_.get(std::move(asked));
    if (has_body && answer.status < 400) answer = failure(413, "body_refused", "a request here has no body");
    co_return co_await send(c, std::move(answer), head.version(), head.method() == http::verb::head, keep);
}

/// Whether the peer has taken all of it, and another request may follow.
asio::awaitable<bool> http_server::send(connection& c, page answer, unsigned version, bool head_only, bool keep) {
    if (answer_bytes_ + answer.body.size() > settings_.answer_bytes_max)
        answer = failure(503, "busy", "others have not taken their answers yet: ask again, and less often");
    const auto size = answer.body.size();
    http::response<http::string_body> response(http::int_to_status(answer.status), version);
    response.set(http::field::content_type, answer.type);
    response.set(http::field::cache_control, "no-store");
    for (const auto& [name, value] : answer.headers) response.set(name, value);
    response.content_length(size);
    response.keep_alive(keep);
    if (!head_only) response.body() = std::move(answer.body);
    c.stream.expires_after(settings_.answer_timeout);
    answer_bytes_ += size;
    const auto [failed, written] = co_await http::async_write(c.stream, response, awaiting);
    answer_bytes_ -= size;
    co_return !failed && keep;
}

}  // namespace millrace::admin
