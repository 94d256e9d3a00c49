#include "proto/plain_record.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "proto/little_endian.hpp"

namespace millrace::proto {
namespace {

// Where the table is, padding, the vtable (10 bytes long, of a table of 8; no key, no headers, the payload at 4), the table (where its vtable is, where its payload).
// The payload's length and the payload follow, padded to 4; four bytes more of padding, where the whole would be no multiple of 8 without.
constexpr unsigned char short_head[] = {0x10, 0, 0, 0, 0, 0, 10, 0, 8, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0, 0, 4, 0, 0, 0};
constexpr unsigned char long_head[] = {0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 8, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0, 0, 4, 0, 0, 0};
constexpr std::size_t length_bytes = 4;

constexpr std::size_t padded(std::size_t payload_bytes) noexcept { return (payload_bytes + 3) / 4 * 4; }

std::span<const unsigned char> head_for(std::size_t payload_bytes) noexcept {
    if (padded(payload_bytes) % 8 == 4) return short_head;
    return long_head;
}

}  // namespace

bool is_plain(const message& m) noexcept { return m.key.empty() && m.headers.empty() && !m.payload.empty(); }

std::size_t plain_flatbuffer_bytes(std::size_t payload_bytes) noexcept { return head_for(payload_bytes).size() + length_bytes + padded(payload_bytes); }

void append_plain_flatbuffer(std::string_view payload, std::vector<std::byte>& out) {
    const auto head = head_for(payload.size());
    std::byte front[sizeof long_head + length_bytes];
    std::memcpy(front, head.data(), head.size());
    store(front + head.size(), static_cast<std::uint32_t>(payload.size()));
    const auto* bytes = reinterpret_cast<const std::byte*>(payload.data());
    out.insert(out.end(), front, front + head.size() + length_bytes);
    out.insert(out.end(), bytes, bytes + payload.size());
    out.resize(out.size() + padded(payload.size()) - payload.size());
}

bool is_plain_flatbuffer(std::span<const std::byte> flatbuffer) noexcept {
    if (flatbuffer.size() < sizeof long_head + length_bytes) return false;  // no payload is that short
    const std::span<const unsigned char> head = flatbuffer[0] == std::byte{short_head[0]} ? std::span<const unsigned char>(short_head) : long_head;
    if (std::memcmp(flatbuffer.data(), head.data(), head.size()) != 0) return false;
    return load<std::uint32_t>(flatbuffer.data() + head.size()) <= flatbuffer.size() - head.size() - length_bytes;
}

}  // namespace millrace::proto
