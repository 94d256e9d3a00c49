#include "examples/photo_stack/web/parsing/multipart.hpp"

#include <algorithm>
#include <cctype>

namespace photo_web {
namespace {

constexpr std::size_t parts_max = 32;
constexpr std::size_t boundary_bytes_max = 70;
constexpr std::size_t head_bytes_max = 2048;
constexpr std::string_view line_end = "\r\n";

bool is_boundary_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("'()+_,-./:=?").find(c) != std::string_view::npos; }

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

/// What stands before `mark`, which is taken off with it; nothing when there is no mark.
std::optional<std::string_view> take_until(std::string_view& text, std::string_view mark) {
    const auto at = text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const auto before = text.substr(0, at);
    text.remove_prefix(at + mark.size());
    return before;
}

/// A parameter's value, quoted or not, taken off the front. Nothing when a quote is not closed.
std::optional<std::string> take_value(std::string_view& text) {
    std::string value;
    if (!text.starts_with('"')) {
        const auto end = std::min(text.find(';'), text.size());
        value = trimmed(text.substr(0, end));
        text.remove_prefix(end);
        return value;
    }
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            text.remove_prefix(i + 1);
            return value;
        }
        if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) ++i;
        value += text[i];
    }
    return std::nullopt;
}

/// "form-data; name="photo"; filename="a.jpg"".
bool read_disposition(std::string_view text, form_part& part) {
    const auto kind_end = std::min(text.find(';'), text.size());
    if (!equals_ignoring_case(trimmed(text.substr(0, kind_end)), "form-data")) return false;
    text.remove_prefix(kind_end);
    bool named = false;
    while (!(text = trimmed(text)).empty()) {
        if (!text.starts_with(';')) return false;
        text.remove_prefix(1);
        const auto name = take_until(text, "=");
        auto value = name ? take_value(text) : std::nullopt;
        if (!value) return false;
        if (equals_ignoring_case(trimmed(*name), "filename")) part.file_name = std::move(value);
        else if (equals_ignoring_case(trimmed(*name), "name")) named = true, part.name = std::move(*value);
    }
    return named;
}

bool read_head(std::string_view head, form_part& part) {
    bool disposed = false;
    while (!head.empty()) {
        const auto line = take_until(head, line_end);
        if (!line) return false;
        const auto colon = line->find(':');
        if (colon == std::string_view::npos) return false;
        if (!equals_ignoring_case(line->substr(0, colon), "content-disposition")) continue;
        if (disposed || !read_disposition(trimmed(line->substr(colon + 1)), part)) return false;
        disposed = true;
    }
    return disposed;
}

/// The part at the front of `body`, up to the delimiter that ends it.
std::optional<form_part> take_part(std::string_view& body, std::string_view delimiter) {
    const auto head_end = body.substr(0, head_bytes_max).find("\r\n\r\n");
    if (head_end == std::string_view::npos) return std::nullopt;
    form_part part;
    if (!read_head(body.substr(0, head_end + line_end.size()), part)) return std::nullopt;
    body.remove_prefix(head_end + 2 * line_end.size());
    const auto content = take_until(body, delimiter);
    if (!content) return std::nullopt;
    part.content = *content;
    return part;
}

}  // namespace

std::optional<std::string> multipart_boundary(std::string_view content_type) {
    const auto kind_end = content_type.find(';');
    if (kind_end == std::string_view::npos || !equals_ignoring_case(trimmed(content_type.substr(0, kind_end)), "multipart/form-data")) return std::nullopt;
    auto rest = content_type.substr(kind_end);
    while (!(rest = trimmed(rest)).empty()) {
        if (!rest.starts_with(';')) return std::nullopt;
        rest.remove_prefix(1);
        const auto name = take_until(rest, "=");
        const auto value = name ? take_value(rest) : std::nullopt;
        if (!value) return std::nullopt;
        if (!equals_ignoring_case(trimmed(*name), "boundary")) continue;
        const bool sound = !value->empty() && value->size() <= boundary_bytes_max && std::all_of(value->begin(), value->end(), is_boundary_character);
        return sound ? value : std::nullopt;
    }
    return std::nullopt;
}

std::optional<std::vector<form_part>> parse_multipart(std::string_view body, std::string_view boundary) {
    const auto delimiter = "\r\n--" + std::string(boundary);
    const auto first = delimiter.substr(line_end.size());
    if (!body.starts_with(first)) return std::nullopt;
    body.remove_prefix(first.size());
    std::vector<form_part> parts;
    while (!body.starts_with("--")) {
        if (!body.starts_with(line_end) || parts.size() == parts_max) return std::nullopt;
        body.remove_prefix(line_end.size());
        auto part = take_part(body, delimiter);
        if (!part) return std::nullopt;
        parts.push_back(std::move(*part));
    }
    return parts;
}

}  // namespace photo_web
