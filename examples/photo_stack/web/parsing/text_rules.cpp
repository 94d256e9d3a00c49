#include "examples/photo_stack/web/parsing/text_rules.hpp"

#include <algorithm>
#include <charconv>

#include "proto/json.hpp"

namespace photo_web {
namespace {

constexpr std::size_t title_bytes_max = 100;

bool is_name_character(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }
bool is_visible_ascii(char c) { return c > ' ' && c < 0x7f; }

}  // namespace

std::optional<std::string> fault_in_user_name(std::string_view name) {
    if (name.size() < 3 || name.size() > 30) return "A name has 3 to 30 characters.";
    if (!std::all_of(name.begin(), name.end(), is_name_character)) return "A name has nothing but small letters a-z, digits and '_'.";
    return std::nullopt;
}

std::optional<std::string> fault_in_password(std::string_view password) {
    if (password.size() < 8 || password.size() > 200) return "A password has 8 to 200 characters.";
    return std::nullopt;
}

std::optional<std::string> fault_in_idempotency_key(std::string_view key) {
    if (key.empty() || key.size() > 100 || !std::all_of(key.begin(), key.end(), is_visible_ascii)) return "An Idempotency-Key has 1 to 100 visible ASCII characters.";
    return std::nullopt;
}

std::string title_from_file_name(std::string_view file_name) {
    const auto slash = file_name.find_last_of("/\\");
    if (slash != std::string_view::npos) file_name.remove_prefix(slash + 1);
    std::string title;
    while (!file_name.empty()) {
        const auto length = millrace::utf8_length(file_name);
        const bool shown = length > 1 || (length == 1 && file_name.front() >= ' ' && file_name.front() != 0x7f);
        if (title.size() + length > title_bytes_max) break;
        if (shown) title += file_name.substr(0, length);
        file_name.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return title.empty() ? "untitled" : title;
}

std::optional<std::int64_t> parse_id(std::string_view text) {
    std::int64_t id = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (ec != std::errc() || end != text.data() + text.size() || id < 1) return std::nullopt;
    return id;
}

}  // namespace photo_web
