// Integers in the byte order of the formats, at any alignment.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>

namespace millrace::proto {

template <std::unsigned_integral T>
T little_endian(T value) noexcept {
    if constexpr (std::endian::native == std::endian::big) {
        T swapped = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) swapped = static_cast<T>((swapped << 8) | ((value >> (8 * i)) & 0xff));
        return swapped;
    }
    return value;
}

/// REQUIRES: sizeof(T) bytes at `from`.
template <std::unsigned_integral T>
T load(const std::byte* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return little_endian(value);
}

/// REQUIRES: room for sizeof(T) bytes at `to`.
template <std::unsigned_integral T>
void store(std::byte* to, T value) noexcept {
    value = little_endian(value);
    std::memcpy(to, &value, sizeof(T));
}

}  // namespace millrace::proto
