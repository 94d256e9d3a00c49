#include "examples/photo_stack/spans/span.hpp"

#include <algorithm>
#include <cstdio>
#include <random>

namespace photo_spans {
namespace {

constexpr std::size_t trace_digits = 32, span_digits = 16;
constexpr std::size_t parts_max = 100;  // of a span that goes on and on, the first ones

bool is_id(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    return text.find_first_not_of(digits) == std::string_view::npos && text.find_first_not_of('0') != std::string_view::npos;
}

std::string random_id(std::size_t digits) {
    thread_local std::random_device device;
    std::string id;
    while (id.size() < digits || !is_id(id)) {
        char eight[9];
        std::snprintf(eight, sizeof eight, "%08x", device());
        id = eight + id.substr(0, digits - 8);
    }
    return id;
}

std::string seconds(std::chrono::nanoseconds time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6f", std::chrono::duration<double>(time).count());
    return text;
}

/// As a JSON string. What is not ASCII passes as it came: a stranger's text may be no UTF-8, and the reader knows that.
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        char escaped[8];
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || c == '"' || c == '\\') out.append(escaped, static_cast<std::size_t>(std::snprintf(escaped, sizeof escaped, "\\u%04x", byte)));
        else out += c;
    }
    return out + "\"";
}

}  // namespace

std::optional<span_context> parse_traceparent(std::string_view header) {
    constexpr std::size_t trace_at = 3, span_at = trace_at + trace_digits + 1, flags_at = span_at + span_digits + 1;
    if (header.size() != flags_at + 2 || !header.starts_with("00-") || header[span_at - 1] != '-' || header[flags_at - 1] != '-') return std::nullopt;
    const auto trace = header.substr(trace_at, trace_digits), span = header.substr(span_at, span_digits);
    if (!is_id(trace) || !is_id(span)) return std::nullopt;
    return span_context{std::string(trace), std::string(span)};
}

std::string traceparent(const span_context& context) { return "00-" + context.trace + "-" + context.span + "-01"; }

span::span() : own_{random_id(trace_digits), random_id(span_digits)} {}

void span::continue_trace(const span_context& parent) {
    own_.trace = parent.trace;
    parent_ = parent.span;
}

void span::add_part(std::string_view name, clock::time_point begun) {
    if (parts_.size() < parts_max) parts_.push_back({std::string(name), begun, clock::now()});
}

std::string span::line(std::string_view name, const std::vector<std::pair<std::string_view, std::string>>& facts) const {
    std::string out = "span {\"trace\":" + quoted(own_.trace) + ",\"span\":" + quoted(own_.span);
    if (!parent_.empty()) out += ",\"parent\":" + quoted(parent_);
    out += ",\"name\":" + quoted(name) + ",\"start\":" + seconds(wall_begun_.time_since_epoch()) + ",\"seconds\":" + seconds(clock::now() - begun_);
    std::string parts;
    for (const auto& p : parts_)
        parts += (parts.empty() ? "" : ",") + ("{\"name\":" + quoted(p.name)) + ",\"after\":" + seconds(p.begun - begun_) + ",\"seconds\":" + seconds(p.ended - p.begun) + "}";
    if (!parts.empty()) out += ",\"parts\":[" + parts + "]";
    for (const auto& [key, value] : facts) out += "," + quoted(key) + ":" + quoted(value);
    return out + "}";
}

}  // namespace photo_spans
