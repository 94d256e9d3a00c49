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

template <class T>
concept byte_like = std::same_as<T, std::byte> || std::same_as<T, char>;

/// REQUIRES: sizeof(T) bytes at `from`.
template <std::unsigned_integral T, byte_like Byte>
T load(const Byte* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return little_endian(value);
}

/// REQUIRES: room for sizeof(T) bytes at `to`.
template <byte_like Byte, std::unsigned_integral T>
void store(Byte* to, T value) noexcept {
    value = little_endian(value);
    std::memcpy(to, &value, sizeof(T));
}

}  // namespace millrace::proto
