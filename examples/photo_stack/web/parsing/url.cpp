#include "examples/photo_stack/web/parsing/url.hpp"

#include <algorithm>

namespace photo_web {
namespace {

constexpr std::size_t fields_max = 64;
constexpr std::size_t target_bytes_max = 2048;

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_segment(const std::string& text) {
    return !text.empty() && text != "." && text != ".." && text.find('/') == std::string::npos && std::none_of(text.begin(), text.end(), is_control);
}

}  // namespace

std::optional<std::string> find_field(const fields& all, std::string_view name) {
    for (const auto& [key, value] : all)
        if (key == name) return value;
    return std::nullopt;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus_is_blank) {
            out += ' ';
        } else if (text[i] != '%') {
            out += text[i];
        } else {
            const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
            const auto low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) return std::nullopt;
            out += static_cast<char>(high * 16 + low);
            i += 2;
        }
    }
    return out;
}

std::optional<fields> parse_urlencoded(std::string_view text) {
    fields out;
    while (!text.empty()) {
        const auto end = std::min(text.find('&'), text.size());
        const auto pair = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (pair.empty()) continue;
        const auto equals = std::min(pair.find('='), pair.size());
        auto name = percent_decode(pair.substr(0, equals), true);
        auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
        if (!name || !value || out.size() == fields_max) return std::nullopt;
        out.emplace_back(std::move(*name), std::move(*value));
    }
    return out;
}

std::optional<url> parse_target(std::string_view target) {
    if (target.size() > target_bytes_max || !target.starts_with('/')) return std::nullopt;
    const auto question = std::min(target.find('?'), target.size());
    auto path = target.substr(1, question - 1);
    url out;
    while (!path.empty()) {
        const auto end = std::min(path.find('/'), path.size());
        auto segment = percent_decode(path.substr(0, end), false);
        if (!segment || !is_segment(*segment)) return std::nullopt;
        out.segments.push_back(std::move(*segment));
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    auto query = parse_urlencoded(target.substr(std::min(question + 1, target.size())));
    if (!query) return std::nullopt;
    out.query = std::move(*query);
    return out;
}

}  // namespace photo_web
