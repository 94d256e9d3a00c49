// One JSON object on one line, field by field, in the order they are added: what the command line and admin HTTP say to programs.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

#include "millrace/message.hpp"

namespace millrace {

class json_object {
public:
    json_object& add(std::string_view name, std::string_view text);
    json_object& add(std::string_view name, const char* text) { return add(name, std::string_view(text)); }
    json_object& add(std::string_view name, bool value) { return add_raw(name, value ? "true" : "false"); }
    template <std::integral Number>
    json_object& add(std::string_view name, Number value) { return add_raw(name, std::to_string(value)); }
    json_object& add(std::string_view name, double value);

    /// `value` is JSON already.
    json_object& add_raw(std::string_view name, std::string_view value);

    /// Bytes as text where they are UTF-8, else in base64 under the name with "_base64".
    json_object& add_bytes(std::string_view name, std::string_view bytes);

    std::string text() const { return text_ + "}"; }

private:
    std::string text_ = "{";
};

/// `text` in quotes. Bytes above ASCII stay as they are: whoever cannot vouch for UTF-8 uses add_bytes.
std::string json_string(std::string_view text);

/// Length of the UTF-8 sequence at the start of `text`; 0 when it is none (overlong forms and surrogates are none). REQUIRES: text is not empty.
std::size_t utf8_length(std::string_view text);

/// "2026-01-31T12:00:00.000000Z"
std::string format_time(timestamp moment);

}  // namespace millrace
