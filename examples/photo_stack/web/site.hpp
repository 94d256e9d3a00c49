// What every request goes through, whichever page it asks for: address, session, limits, the form's token; and how whatever fails is told.
//
//   admit (before the body is read) ─► body ─► answer ─► handler of the route
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>

#include "examples/photo_stack/web/accounts.hpp"
#include "examples/photo_stack/web/form_guard.hpp"
#include "examples/photo_stack/web/page_frame.hpp"
#include "examples/photo_stack/web/rate_limiter.hpp"
#include "examples/photo_stack/web/routes.hpp"
#include "examples/photo_stack/web/visit.hpp"

namespace photo_web {

struct site_settings {
    std::size_t small_body_bytes_max = 64u << 10;
    std::size_t photos_body_bytes_max = 64u << 20;
    rate_limit writes{};          // of a user, or of an address without one
    std::string trusted_proxy{};  // the address whose X-Forwarded-For is believed
};

/// One thread.
class site {
public:
    static constexpr const char* session_cookie = "session";

    using clock = std::function<std::chrono::steady_clock::time_point()>;

    site(const route_table& routes, accounts& people, const form_guard& forms, const page_frame& pages, site_settings settings, clock now)
        : routes_(routes), people_(people), forms_(forms), pages_(pages), settings_(std::move(settings)), now_(std::move(now)), writes_(settings_.writes) {}

    /// Before the body is read: nothing when it is welcome, or how it is refused.
    boost::asio::awaitable<std::optional<response>> admit(visit& v);

    /// How long a body may be. REQUIRES: admitted.
    std::size_t body_bytes_max(const visit& v) const;

    /// REQUIRES: admitted, and the body is there.
    boost::asio::awaitable<response> answer(visit& v);

    /// How a failure is told: as a page or as JSON.
    response failure(visit& v, const std::exception_ptr& thrown) const;

private:
    boost::asio::awaitable<void> receive(visit& v);
    boost::asio::awaitable<void> authenticate(visit& v);
    boost::asio::awaitable<void> recognize(visit& v, std::string token, session_kind kind);
    void require_within_limit(const visit& v);
    response failure(visit& v, unsigned status, const std::string& code, const std::string& text) const;

    const route_table& routes_;
    accounts& people_;
    const form_guard& forms_;
    const page_frame& pages_;
    site_settings settings_;
    clock now_;
    rate_limiter writes_;
};

}  // namespace photo_web
