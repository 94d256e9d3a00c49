// The Cookie and Set-Cookie headers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace photo_web {

/// The value of a cookie in a Cookie header: "a=1; session=abc". Nothing when there is none of that name, or two that differ: a planted one must not
/// win over the true one by standing first.
std::optional<std::string> find_cookie(std::string_view header, std::string_view name);

/// A Set-Cookie header for the whole site, out of reach of scripts, not sent with requests that other sites make; `secure`: over TLS alone.
/// An empty value takes the cookie away. REQUIRES: `value` has nothing but letters, digits, '-' and '_'.
std::string set_cookie(std::string_view name, std::string_view value, bool secure);

}  // namespace photo_web
