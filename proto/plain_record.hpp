// The commonest record: an uncompressed payload and nothing else. Its flatbuffer is the same bytes for all of them but for the payload (FORMAT.md §2), so it is
// neither built nor verified field by field.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "millrace/message.hpp"

namespace millrace::proto {

/// Whether `m` has a payload and nothing else.
bool is_plain(const message& m) noexcept;

/// Bytes of the flatbuffer with a payload of `payload_bytes`.
std::size_t plain_flatbuffer_bytes(std::size_t payload_bytes) noexcept;

/// Of the flatbuffer, before the payload, which is followed by padding to the end. The bytes are those that a builder makes.
inline constexpr std::size_t plain_front_bytes_max = 32;

/// Writes what is before the payload, and how many bytes that is; up to plain_front_bytes_max are overwritten. REQUIRES: 0 < payload_bytes <= limits::message_bytes.
std::size_t write_plain_front(std::size_t payload_bytes, std::byte* to) noexcept;

/// The payload, if `flatbuffer` is one of these: then it holds what it says, and no limit of a record is exceeded that its length keeps.
std::optional<std::string_view> plain_payload(std::span<const std::byte> flatbuffer) noexcept;

}  // namespace millrace::proto
