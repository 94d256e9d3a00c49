// CRC-32C (Castagnoli), by SSE4.2 where the processor has it, else by table. Both give the same value; a test checks it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::proto {

/// Continues `crc` (0 to begin) over `size` bytes at `data`. Thread-safe.
std::uint32_t crc32c(std::uint32_t crc, const void* data, std::size_t size) noexcept;

inline std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept {
    return crc32c(0, bytes.data(), bytes.size());
}

/// The portable one, for comparison and for processors without the instruction.
std::uint32_t crc32c_portable(std::uint32_t crc, const void* data, std::size_t size) noexcept;

/// Whether crc32c() runs on the instruction here.
bool crc32c_is_accelerated() noexcept;

}  // namespace millrace::proto
