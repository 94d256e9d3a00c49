#include "examples/photo_stack/web/http_server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "examples/photo_stack/web/current_span.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
using body_parser = http::request_parser<http::string_body>;

namespace {

constexpr std::size_t read_buffer_bytes = 256u << 10;

/// What a peer still sends after its last answer is read and dropped, so that the answer is not lost in a reset: so much, for so long.
constexpr std::size_t farewell_bytes = 64u << 20;
constexpr auto farewell_time = std::chrono::seconds{5};

constexpr std::pair<const char*, const char*> headers_of_every_answer[] = {
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "same-origin"},
};

std::string content_policy(const std::vector<std::string>& image_sources) {
    std::string images = "img-src 'self' blob:";  // "blob:" is the preview of a photo that is not sent yet
    for (const auto& source : image_sources) images += " " + source;
    return "default-src 'none'; script-src 'self'; style-src 'self'; " + images + "; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
}

http::response<http::string_body> head_of(const visit& v, const response& answer, const std::string& policy) {
    http::response<http::string_body> out(http::int_to_status(answer.status), 11);
    out.set("Content-Security-Policy", policy);
    for (const auto& [name, value] : headers_of_every_answer) out.set(name, value);
    if (!answer.body.empty() || answer.events) out.set(http::field::content_type, answer.type);
    out.set(http::field::cache_control, "no-store");
    for (const auto& [name, value] : answer.headers) out.set(name, value);
    for (const auto& cookie : v.new_cookies) out.insert(http::field::set_cookie, cookie);
    if (answer.status != 204 && !answer.events) out.content_length(answer.body.size());
    return out;
}

}  // namespace

struct http_server::connection {
    explicit connection(tcp::socket socket) : stream(std::move(socket)), buffer(read_buffer_bytes) {}

    beast::tcp_stream stream;
    beast::flat_buffer buffer;
    std::string peer;
    std::optional<body_parser> parser;  // of the request that it is in
    span_slot span = std::make_shared<span_slot::element_type>();  // of that request
    bool idle = true;
    std::shared_ptr<event_stream> events;  // that it is being sent
};

http_server::http_server(asio::io_context& io, site& pages, request_log& log, http_settings settings)
    : io_(io), site_(pages), log_(log), settings_(std::move(settings)), content_policy_(content_policy(settings_.image_sources)), acceptor_(io) {}

void http_server::listen(const tcp::endpoint& where) {
    acceptor_.open(where.protocol());
    acceptor_.set_option(tcp::acceptor::reuse_address(true));
    acceptor_.bind(where);
    acceptor_.listen(asio::socket_base::max_listen_connections);
    asio::co_spawn(io_, accept_loop(), asio::detached);
}

void http_server::drain() {
    draining_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (const auto& c : connections_)
        if (c->idle) c->stream.close();
        else if (c->events) c->events->finish();
}

asio::awaitable<void> http_server::accept_loop() {
    while (acceptor_.is_open()) {
        auto [ec, socket] = co_await acceptor_.async_accept(awaiting);
        if (ec == asio::error::operation_aborted) break;
        if (ec) {  // out of descriptors: some will be free soon
            asio::steady_timer pause(io_, std::chrono::milliseconds{100});
            co_await pause.async_wait(awaiting);
            continue;
        }
        if (connections_.size() >= settings_.connections_max) continue;  // the socket closes
        const auto c = std::make_shared<connection>(std::move(socket));
        connections_.insert(c);
        asio::co_spawn(asio::any_io_executor(span_executor(io_.get_executor(), c->span)), serve(c), asio::detached);
    }
}

asio::awaitable<void> http_server::serve(connection_pointer c) {
    boost::system::error_code ec;
    c->stream.socket().set_option(tcp::no_delay(true), ec);
    c->peer = c->stream.socket().remote_endpoint(ec).address().to_string();
    while (co_await serve_one(*c) && !draining_) continue;
    co_await part(*c);
    connections_.erase(c);
}

/// Whether another request may follow.
asio::awaitable<bool> http_server::serve_one(connection& c) {
    c.idle = true;
    if (c.buffer.size() == 0) {
        c.stream.expires_after(settings_.idle_timeout);
        const auto [ended, n] = co_await c.stream.async_read_some(c.buffer.prepare(4096), awaiting);
        if (ended) co_return false;
        c.buffer.commit(n);
    }
    c.idle = false;
    c.span->emplace();
    c.stream.expires_after(settings_.header_timeout);
    c.parser.emplace();
    c.parser->header_limit(static_cast<std::uint32_t>(settings_.header_bytes_max));
    c.parser->body_limit(boost::none);  // the site says how long it may be, once it knows what it is
    const auto [failed, read] = co_await http::async_read_header(c.stream, c.buffer, *c.parser, awaiting);
    visit v;
    v.client = c.peer;
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow)
        co_return co_await send_text(c, v, 431, "The head of the request is too long.\n");
    if (failed.category() == beast::error_code(http::error::bad_method).category() && failed != http::error::end_of_stream && failed != http::error::partial_message)
        co_return co_await send_text(c, v, 400, "This is not HTTP/1.1.\n");
    if (failed) co_return false;
    const auto& head = c.parser->get();
    v.method = head.method();
    v.target = head.target();
    v.headers = head.base();
    const auto parent = photo_spans::parse_traceparent(v.header("traceparent"));
    if (parent) (*c.span)->continue_trace(*parent);
    const bool keep = head.keep_alive();
    auto refused = co_await site_.admit(v);
    if (refused) co_return co_await send(c, v, std::move(*refused), keep && c.parser->is_done());
    if (!co_await take_body(c, v)) co_return false;
    auto answer = co_await site_.answer(v);
    if (answer.events && v.method != http::verb::head) {
        co_await send_events(c, v, std::move(answer));
        co_return false;
    }
    co_return co_await send(c, v, std::move(answer), keep);
}

/// Whether the whole body is there; if not, why was said as far as it could be.
asio::awaitable<bool> http_server::take_body(connection& c, visit& v) {
    const auto limit = site_.body_bytes_max(v);
    const auto announced = c.parser->content_length();
    const auto expected = announced ? static_cast<std::size_t>(*announced) : c.parser->is_done() ? 0 : limit;
    if (expected > limit || (limit == 0 && !c.parser->is_done())) {
        auto refused = site_.failure(v, std::make_exception_ptr(refusal(413, "body_too_large", "The request is larger than " + std::to_string(limit) + " bytes.")));
        co_return co_await send(c, v, std::move(refused), false);
    }
    if (bodies_bytes_ + expected > settings_.bodies_bytes_max) {
        auto refused = site_.failure(v, std::make_exception_ptr(overloaded("Too many uploads at once. Try again in a few seconds.")));
        co_return co_await send(c, v, std::move(refused), false);
    }
    v.body_reservation = std::shared_ptr<void>(nullptr, [this, expected](void*) { bodies_bytes_ -= expected; });
    bodies_bytes_ += expected;
    c.stream.expires_after(settings_.body_timeout);
    if (beast::iequals(c.parser->get()[http::field::expect], "100-continue")) {
        http::response<http::empty_body> go_on(http::status::continue_, 11);
        const auto [unheard, written] = co_await http::async_write(c.stream, go_on, awaiting);
        if (unheard) co_return false;
    }
    c.parser->body_limit(limit);
    const auto [failed, read] = co_await http::async_read(c.stream, c.buffer, *c.parser, awaiting);
    if (failed == http::error::body_limit) {
        auto refused = site_.failure(v, std::make_exception_ptr(refusal(413, "body_too_large", "The request is larger than " + std::to_string(limit) + " bytes.")));
        co_return co_await send(c, v, std::move(refused), false);
    }
    v.body = std::move(c.parser->get().body());
    co_return !failed;
}

/// Whether the peer has taken all of it, and another request may follow.
asio::awaitable<bool> http_server::send(connection& c, const visit& v, response answer, bool keep) {
    auto out = head_of(v, answer, content_policy_);
    out.keep_alive(keep && !draining_);
    if (v.method != http::verb::head) out.body() = std::move(answer.body);
    c.stream.expires_after(settings_.answer_timeout);
    const auto [failed, written] = co_await http::async_write(c.stream, out, awaiting);
    log_.finished(v, answer.status, **c.span);
    co_return !failed && out.keep_alive();
}

/// Until they end, the peer is gone, or they have lasted long enough: a browser asks again by itself. The end of the connection is the end of the body.
asio::awaitable<void> http_server::send_events(connection& c, const visit& v, response answer) {
    auto head = head_of(v, answer, content_policy_);
    head.keep_alive(false);
    c.events = std::move(answer.events);
    c.stream.expires_after(settings_.answer_timeout);
    http::response_serializer<http::string_body> serializer(head);
    auto [failed, written] = co_await http::async_write_header(c.stream, serializer, awaiting);
    log_.finished(v, answer.status, **c.span);  // how long somebody listens is not how long it took
    while (!failed && std::chrono::steady_clock::now() < (*c.span)->begun() + settings_.events_max) {
        const auto text = co_await c.events->next(settings_.events_heartbeat);
        if (text.empty()) break;
        c.stream.expires_after(settings_.answer_timeout);
        std::tie(failed, written) = co_await asio::async_write(c.stream, asio::buffer(text), awaiting);
    }
    c.events.reset();
}

/// Before there is an address that a page could be made for.
asio::awaitable<bool> http_server::send_text(connection& c, const visit& v, unsigned status, const char* text) {
    response answer{.status = status, .type = "text/plain", .body = text};
    return send(c, v, std::move(answer), false);
}

asio::awaitable<void> http_server::part(connection& c) {
    boost::system::error_code ec;
    c.idle = true;
    c.stream.socket().shutdown(tcp::socket::shutdown_send, ec);
    c.stream.expires_after(farewell_time);
    for (std::size_t dropped = 0; !ec && dropped < farewell_bytes;) {
        c.buffer.clear();
        const auto [ended, n] = co_await c.stream.async_read_some(c.buffer.prepare(read_buffer_bytes), awaiting);
        ec = ended;
        dropped += n;
    }
    c.stream.close();
}

}  // namespace photo_web
