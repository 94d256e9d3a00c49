// A configuration file: what flags say, written down. The part of TOML that options need, read strictly:
//
//   # a comment
//   listen = "0.0.0.0:7070"       text, in double quotes with \" \\ \n \t, or in single quotes as it is
//   max-connections = 20_000      a whole number
//   insecure = true               true or false
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/error.hpp"

namespace millrace {

struct config_value {
    enum class kind : std::uint8_t { text, number, boolean };

    std::string key;
    std::string value;  // without quotes and underscores
    kind type = kind::text;
    std::size_t line = 0;
};

/// "text", "a whole number", "true or false"
const char* name_of(config_value::kind type) noexcept;

/// Each key once, in the file's order. Errors: invalid_argument with the file, the line and what may stand there.
result<std::vector<config_value>> read_config_file(const std::string& path);

/// The same of a file's content; `path` is for its errors.
result<std::vector<config_value>> parse_config(std::string_view text, const std::string& path);

}  // namespace millrace
