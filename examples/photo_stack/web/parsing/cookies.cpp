#include "examples/photo_stack/web/parsing/cookies.hpp"

#include <algorithm>

namespace photo_web {

std::optional<std::string> find_cookie(std::string_view header, std::string_view name) {
    std::optional<std::string> found;
    while (!header.empty()) {
        const auto end = std::min(header.find(';'), header.size());
        auto pair = header.substr(0, end);
        header.remove_prefix(std::min(end + 1, header.size()));
        pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
        const auto equals = pair.find('=');
        if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
        const std::string value(pair.substr(equals + 1));
        if (found && *found != value) return std::nullopt;
        found = value;
    }
    return found;
}

std::string set_cookie(std::string_view name, std::string_view value, bool secure) {
    std::string out(name);
    out.append("=").append(value).append("; Path=/; HttpOnly; SameSite=Lax");
    if (value.empty()) out += "; Max-Age=0";
    if (secure) out += "; Secure";
    return out;
}

}  // namespace photo_web
