#include "examples/photo_stack/photos/http_peer.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cstdlib>

namespace photo_stack {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr auto rest_after_failure = std::chrono::milliseconds{500};  // twice as long after each that follows: to ask a host that is gone takes the whole deadline
constexpr int rest_doublings_max = 3;
constexpr std::size_t idle_connections_max = 8;
constexpr std::size_t answer_bytes_max = 64u << 20;

tcp::endpoint endpoint_in(const std::string& address) {
    constexpr std::string_view scheme = "http://";
    const auto colon = address.rfind(':');
    boost::system::error_code failed;
    const auto host = address.starts_with(scheme) && colon > scheme.size() ? address.substr(scheme.size(), colon - scheme.size()) : "";
    const auto ip = asio::ip::make_address(host, failed);
    const auto port = failed ? 0 : std::atoi(address.c_str() + colon + 1);
    if (failed || port < 1 || port > 65535) throw std::invalid_argument("'" + address + "' is not http://ADDRESS:PORT");
    return {ip, static_cast<std::uint16_t>(port)};
}

}  // namespace

/// One thread at a time. Its operations are asynchronous ones, as only these have deadlines, and are waited for.
class http_peer::connection {
public:
    connection(const tcp::endpoint& where, clock::time_point until) {
        stream_.expires_at(until);
        wait([&](auto done) { stream_.async_connect(where, std::move(done)); });
        stream_.socket().set_option(tcp::no_delay(true));
    }

    http::response<http::string_body> exchange(const http::request<http::span_body<const char>>& request, clock::time_point until) {
        stream_.expires_at(until);
        http::request_serializer<http::span_body<const char>> sending(request);
        wait([&](auto done) { http::async_write(stream_, sending, std::move(done)); });
        http::response_parser<http::string_body> answer;
        answer.body_limit(answer_bytes_max);
        wait([&](auto done) { http::async_read(stream_, buffer_, answer, std::move(done)); });
        return answer.release();
    }

private:
    template <class Start>
    void wait(Start start) {
        boost::system::error_code outcome;
        start([&outcome](const boost::system::error_code& ec, auto&&...) { outcome = ec; });
        io_.restart();
        io_.run();
        if (outcome) throw boost::system::system_error(outcome);
    }

    asio::io_context io_{1};
    beast::tcp_stream stream_{io_};
    beast::flat_buffer buffer_;
};

http_peer::http_peer(const std::string& address, std::chrono::milliseconds deadline) : address_(address), where_(endpoint_in(address)), deadline_(deadline) {}

http_peer::~http_peer() = default;

peer_answer http_peer::ask(http::verb method, const std::string& target, std::string_view body) {
    if (!may_ask()) throw peer_unavailable(address_ + " did not answer a moment ago");
    try {
        auto answer = ask_now(method, target, body);
        note(true);
        return answer;
    } catch (const boost::system::system_error& why) {
        note(false);
        throw peer_unavailable(address_ + " does not answer: " + why.code().message());
    }
}

/// A connection may have ended while nobody used it: that is found out here, and a new one is made.
peer_answer http_peer::ask_now(http::verb method, const std::string& target, std::string_view body) {
    const auto until = clock::now() + deadline_;
    http::request<http::span_body<const char>> request(method, target, 11);
    request.set(http::field::host, where_.address().to_string());
    request.body() = {body.data(), body.size()};
    request.prepare_payload();
    const auto take = [this, until, &request](std::unique_ptr<connection> c) {
        auto answer = c->exchange(request, until);
        if (answer.keep_alive()) give_back(std::move(c));
        return peer_answer{answer.result_int(), std::move(answer.body())};
    };
    if (auto used = idle_one()) {
        try {
            return take(std::move(used));
        } catch (const boost::system::system_error&) {
            if (clock::now() >= until) throw;
        }
    }
    return take(std::make_unique<connection>(where_, until));
}

bool http_peer::may_ask() {
    const std::lock_guard lock(mutex_);
    if (failures_ == 0) return true;
    const auto now = clock::now();
    if (now < not_before_) return false;
    not_before_ = now + deadline_;  // this one tries
    return true;
}

void http_peer::note(bool answered) {
    const std::lock_guard lock(mutex_);
    failures_ = answered ? 0 : failures_ + 1;
    if (answered) return;
    not_before_ = clock::now() + rest_after_failure * (1 << std::min(failures_ - 1, rest_doublings_max));
}

std::unique_ptr<http_peer::connection> http_peer::idle_one() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    auto c = std::move(idle_.back());
    idle_.pop_back();
    return c;
}

void http_peer::give_back(std::unique_ptr<connection> c) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < idle_connections_max) idle_.push_back(std::move(c));
}

}  // namespace photo_stack
