// The commonest record: an uncompressed payload and nothing else. Its flatbuffer is the same bytes for all of them but for the payload (FORMAT.md §2), so it is
// neither built nor verified field by field.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "millrace/message.hpp"

namespace millrace::proto {

/// Whether `m` has a payload and nothing else.
bool is_plain(const message& m) noexcept;

/// Bytes of the flatbuffer with a payload of `payload_bytes`.
std::size_t plain_flatbuffer_bytes(std::size_t payload_bytes) noexcept;

/// Appends the flatbuffer, of the same bytes as a builder makes. REQUIRES: 0 < payload.size() <= limits::message_bytes.
void append_plain_flatbuffer(std::string_view payload, std::vector<std::byte>& out);

/// Whether `flatbuffer` is one of these: then it holds what it says, and no limit of a record is exceeded that its length keeps.
bool is_plain_flatbuffer(std::span<const std::byte> flatbuffer) noexcept;

}  // namespace millrace::proto
