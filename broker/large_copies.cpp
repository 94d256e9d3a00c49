#include "broker/large_copies.hpp"

// Compiled without GCC's knowledge of memcpy: it would make a call of it out of the loop below.
#if defined(__x86_64__) && defined(__GLIBC__) && !__GLIBC_PREREQ(2, 39) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <emmintrin.h>

#include <cstdint>

/// The C library's own memmove, by a name that nobody else defines. `room`: of the target; not less than `bytes`.
extern "C" void* __memmove_chk(void* to, const void* from, std::size_t bytes, std::size_t room) noexcept;

namespace {

constexpr std::size_t line_bytes = 64;

bool is_taken = false;

/// Before all other code of the program; what libraries copy when they are loaded, the C library copies.
__attribute__((constructor(101))) void look_at_processor() {
    __builtin_cpu_init();
    is_taken = __builtin_cpu_is("amd");
}

void copy_line(char* to, const char* from) {
    const auto* source = reinterpret_cast<const __m128i*>(from);
    auto* target = reinterpret_cast<__m128i*>(to);
    const auto first = _mm_loadu_si128(source);
    const auto second = _mm_loadu_si128(source + 1);
    const auto third = _mm_loadu_si128(source + 2);
    const auto fourth = _mm_loadu_si128(source + 3);
    _mm_storeu_si128(target, first);
    _mm_storeu_si128(target + 1, second);
    _mm_storeu_si128(target + 2, third);
    _mm_storeu_si128(target + 3, fourth);
}

/// Whole lines of the target between two that may lie across: at least one in all.
void copy_apart(char* to, const char* from, std::size_t bytes) {
    copy_line(to, from);
    for (auto at = line_bytes - reinterpret_cast<std::uintptr_t>(to) % line_bytes; at + line_bytes <= bytes; at += line_bytes) copy_line(to + at, from + at);
    copy_line(to + bytes - line_bytes, from + bytes - line_bytes);
}

bool overlap(const char* one, const char* other, std::size_t bytes) {
    const auto a = reinterpret_cast<std::uintptr_t>(one);
    const auto b = reinterpret_cast<std::uintptr_t>(other);
    return (a < b ? b - a : a - b) < bytes;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void* memmove(void* to, const void* from, std::size_t bytes) noexcept {
    auto* target = static_cast<char*>(to);
    const auto* source = static_cast<const char*>(from);
    if (bytes < millrace::large_copy_bytes || !is_taken || overlap(target, source, bytes)) return __memmove_chk(to, from, bytes, bytes);
    copy_apart(target, source, bytes);
    return to;
}

__attribute__((visibility("default"))) void* memcpy(void* to, const void* from, std::size_t bytes) noexcept { return memmove(to, from, bytes); }

}  // extern "C"

bool millrace::takes_large_copies() { return is_taken; }

#else

bool millrace::takes_large_copies() { return false; }

#endif
