#include "proto/plain_record.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "proto/little_endian.hpp"

namespace millrace::proto {
namespace {

// Where the table is, padding, the vtable (10 bytes long, of a table of 8; no key, no headers, the payload at 4), the table (where its vtable is, where its payload).
// The payload's length and the payload follow, padded to 4; four bytes more of padding, where the whole would be no multiple of 8 without.
constexpr std::size_t length_bytes = 4;
struct head {
    std::size_t size;
    unsigned char bytes[plain_front_bytes_max - length_bytes];  // the last four of a short one are the length's place
};
constexpr head short_head{24, {0x10, 0, 0, 0, 0, 0, 10, 0, 8, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0, 0, 4, 0, 0, 0}};
constexpr head long_head{28, {0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 8, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0, 0, 4, 0, 0, 0}};

constexpr std::size_t padded(std::size_t payload_bytes) noexcept { return (payload_bytes + 3) / 4 * 4; }

const head& head_for(std::size_t payload_bytes) noexcept { return padded(payload_bytes) % 8 == 4 ? short_head : long_head; }

}  // namespace

bool is_plain(const message& m) noexcept { return m.key.empty() && m.headers.empty() && !m.payload.empty(); }

std::size_t plain_flatbuffer_bytes(std::size_t payload_bytes) noexcept { return head_for(payload_bytes).size + length_bytes + padded(payload_bytes); }

std::size_t write_plain_front(std::size_t payload_bytes, std::byte* to) noexcept {
    const auto& head = head_for(payload_bytes);
    std::memcpy(to, head.bytes, sizeof head.bytes);
    store(to + head.size, static_cast<std::uint32_t>(payload_bytes));
    return head.size + length_bytes;
}

std::optional<std::string_view> plain_payload(std::span<const std::byte> flatbuffer) noexcept {
    if (flatbuffer.size() < plain_front_bytes_max) return std::nullopt;  // no payload is that short
    const auto& head = flatbuffer[0] == std::byte{short_head.bytes[0]} ? short_head : long_head;
    if (std::memcmp(flatbuffer.data(), head.bytes, head.size) != 0) return std::nullopt;
    const auto bytes = load<std::uint32_t>(flatbuffer.data() + head.size);
    const auto rest = flatbuffer.subspan(head.size + length_bytes);
    if (bytes > rest.size()) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(rest.data()), bytes);
}

}  // namespace millrace::proto
