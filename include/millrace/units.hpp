// Durations and sizes as people write them on command lines and in configuration: `250ms 30s 5m 24h`, `512B 64KiB 10GiB`.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "millrace/error.hpp"

namespace millrace {

/// A whole number and ms, s, m or h; "0" needs no unit. Errors: invalid_argument with the value and what is taken.
result<std::chrono::milliseconds> parse_duration(std::string_view text);

/// Bytes: a whole number and B, KiB, MiB, GiB or TiB; without a unit it is bytes. Errors: invalid_argument with the value and what is taken.
result<std::uint64_t> parse_size(std::string_view text);

/// The shortest spelling that parse_duration reads back to the same value: "90s", not "1m30s"; "0" for nothing.
std::string format_duration(std::chrono::milliseconds duration);

/// The shortest spelling that parse_size reads back to the same value: "1536KiB", "1000B"; "0" for nothing.
std::string format_size(std::uint64_t bytes);

}  // namespace millrace
