// Forms that only our own pages can have: each carries a token that is made from a cookie and a secret, which another site has neither of.
#pragma once

#include <string>

#include "examples/photo_stack/web/visit.hpp"

namespace photo_web {

class form_guard {
public:
    static constexpr const char* field = "form_token";
    static constexpr const char* visitor_cookie = "visitor";

    /// `secret` is the same in all web servers: a form may be sent to another one than it came from.
    form_guard(std::string secret, bool secure_cookies) : secret_(std::move(secret)), secure_cookies_(secure_cookies) {}

    /// For a form on a page that is being answered. Gives somebody without a session a cookie to make it from.
    std::string token_for(visit& v) const;

    /// Throws refusal when the form's token is not that of this session.
    void require_own(const visit& v) const;

private:
    std::string token_of(const visit& v) const;

    std::string secret_;
    bool secure_cookies_;
};

}  // namespace photo_web
