#include "examples/photo_stack/web/site.hpp"

#include <spdlog/spdlog.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "examples/photo_stack/web/parsing/cookies.hpp"
#include "examples/photo_stack/web/refusal.hpp"
#include "examples/photo_stack/web/sent_form.hpp"

namespace photo_web {

namespace asio = boost::asio;
using boost::beast::http::verb;

namespace {

std::string bearer_token(const visit& v) {
    const auto value = v.header("Authorization");
    constexpr std::string_view scheme = "Bearer ";
    return value.starts_with(scheme) ? value.substr(scheme.size()) : std::string();
}

/// The last address is the one that our own proxy wrote; those before it are hearsay.
std::string last_forwarded(const std::string& addresses) {
    const auto from = addresses.find_last_of(", ");
    return from == std::string::npos ? addresses : addresses.substr(from + 1);
}

bool is_write(verb method) { return method != verb::get && method != verb::head; }

}  // namespace

asio::awaitable<std::optional<response>> site::admit(visit& v) {
    std::exception_ptr thrown;
    try {
        co_await receive(v);
        co_return std::nullopt;
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return failure(v, thrown);
}

asio::awaitable<void> site::receive(visit& v) {
    auto where = parse_target(v.target);
    if (!where) throw refusal(400, "bad_request", "There can be no such address.");
    v.where = std::move(*where);
    const auto forwarded = v.header("X-Forwarded-For");
    if (v.client == settings_.trusted_proxy && !forwarded.empty()) v.client = last_forwarded(forwarded);
    v.to = &routes_.find(v.method, v.where.segments);
    co_await authenticate(v);
    if (is_write(v.method)) require_within_limit(v);
    if (v.to->for_whom == audience::users && !v.who) throw refusal(401, "unauthorized", "You are not logged in.");
}

/// A program shows a token in a header. What a browser sends by itself counts for pages alone, whose forms have a token against that.
asio::awaitable<void> site::authenticate(visit& v) {
    const auto cookies = v.header("Cookie");
    v.session = find_cookie(cookies, session_cookie).value_or("");
    v.visitor = find_cookie(cookies, form_guard::visitor_cookie).value_or("");
    const auto bearer = bearer_token(v);
    if (!bearer.empty()) co_await recognize(v, bearer, session_kind::bearer);
    else if (!v.session.empty() && !v.wants_json()) co_await recognize(v, v.session, session_kind::cookie);
}

asio::awaitable<void> site::recognize(visit& v, std::string token, session_kind kind) {
    auto found = co_await people_.session_of(token, kind);
    if (!found) co_return;
    v.who = std::move(found->who);
    v.written = std::move(found->written);
    v.token = std::move(token);
    v.kind = kind;
}

void site::require_within_limit(const visit& v) {
    const auto key = v.who ? "user " + std::to_string(v.who->id) : "address " + v.client;
    if (!writes_.take(key, now_())) throw refusal(429, "too_many_requests", "That is more than a user may do in so short a time. Wait a few seconds.");
}

std::size_t site::body_bytes_max(const visit& v) const {
    switch (v.to->body) {
        case body_kind::none: return 0;
        case body_kind::small: return settings_.small_body_bytes_max;
        case body_kind::photos: return settings_.photos_body_bytes_max;
    }
    return 0;
}

asio::awaitable<response> site::answer(visit& v) {
    std::exception_ptr thrown;
    try {
        if (is_write(v.method) && !v.wants_json()) {
            v.form = read_form(v.header("Content-Type"), v.body);
            forms_.require_own(v);
        }
        auto answered = co_await v.to->handler(v);
        if (is_write(v.method) && v.who) co_await people_.note_write(v.who->id, v.token, v.kind);  // before it is answered: what this client asks next has to show it
        co_return answered;
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return failure(v, thrown);
}

response site::failure(visit& v, const std::exception_ptr& thrown) const {
    try {
        std::rethrow_exception(thrown);
    } catch (const refusal& why) {
        return failure(v, why.status, why.code, why.what());
    } catch (const database_unavailable& why) {
        spdlog::warn("{}: the database is not available: {}", v.target, why.what());
        return failure(v, 503, "unavailable", "The service cannot reach its data at the moment. Try again in a few seconds.");
    } catch (const sessions_unavailable& why) {
        spdlog::warn("{}: the sessions are not available: {}", v.target, why.what());
        return failure(v, 503, "unavailable", "The service cannot tell who you are at the moment. Try again in a few seconds.");
    } catch (const photo_stack::photos_unavailable& why) {
        spdlog::warn("{}: the photos' files are not available: {}", v.target, why.what());
        return failure(v, 503, "unavailable", "The service cannot reach its photos at the moment. Try again in a few seconds.");
    } catch (const overloaded& why) {
        return failure(v, 503, "overloaded", why.what());
    } catch (const std::exception& why) {
        spdlog::error("{}: {}", v.target, why.what());
    }
    return failure(v, 500, "internal_error", "Something went wrong here, and has been noted.");
}

response site::failure(visit& v, unsigned status, const std::string& code, const std::string& text) const {
    response r{.status = status};
    if (status == 429 || status == 503) r.headers.emplace_back("Retry-After", "1");
    if (v.wants_json()) {
        r.type = "application/json";
        r.body = boost::json::serialize(boost::json::value{{"error", code}, {"message", text}});
        if (status == 401) r.headers.emplace_back("WWW-Authenticate", "Bearer");
        return r;
    }
    if (status == 401) {  // people are shown where to log in
        r.status = 303;
        r.headers.emplace_back("Location", "/login");
        return r;
    }
    r.body = pages_.page(v, "error.html", "Error " + std::to_string(status), {.texts = {{"text", text}}, .lists = {}}).body;
    return r;
}

}  // namespace photo_web
