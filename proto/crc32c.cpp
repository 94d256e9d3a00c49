#include "proto/crc32c.hpp"

#include <algorithm>
#include <array>
#include <atomic>

#include "proto/little_endian.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace millrace::proto {
namespace {

constexpr std::uint32_t polynomial = 0x82F63B78;  // Castagnoli, reflected: bit 31 is the coefficient of x^0

constexpr std::uint32_t times_x(std::uint32_t value) {
    return (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
}

using slicing_tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr slicing_tables make_slicing_tables() {
    slicing_tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = times_x(crc);
        tables[0][byte] = crc;
    }
    for (std::size_t slice = 1; slice < 8; ++slice)
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
        }
    return tables;
}

// Every table is a compile-time constant, so that a checksum taken before main() is right too.
constexpr slicing_tables slices = make_slicing_tables();

}  // namespace

std::uint32_t crc32c_portable(std::uint32_t crc, const void* data, std::size_t size) noexcept {
    const auto* bytes = static_cast<const std::byte*>(data);
    crc = ~crc;
    for (; size >= 8; bytes += 8, size -= 8) {
        const std::uint64_t word = load<std::uint64_t>(bytes) ^ crc;
        crc = 0;
        for (std::size_t i = 0; i < 8; ++i) crc ^= slices[7 - i][(word >> (8 * i)) & 0xff];
    }
    for (; size > 0; ++bytes, --size) crc = (crc >> 8) ^ slices[0][(crc ^ std::to_integer<std::uint32_t>(*bytes)) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
namespace {

#define MILLRACE_CRC_TARGET __attribute__((target("sse4.2,pclmul")))

// The instruction takes three cycles and can start every cycle, so three streams side by side keep it busy; below this they do not pay.
constexpr std::size_t interleaved_words_min = 16;
constexpr std::size_t stream_words_max = 128;

// [n] = x^(64 n - 33): the factor that moves a checksum over n zero words. The 33 is what the carry-less product of two reflected
// 32-bit numbers and its reduction by the instruction add.
constexpr auto word_shifts = [] {
    std::array<std::uint32_t, 2 * stream_words_max + 1> shifts{};
    std::uint32_t factor = 1;  // x^31
    for (std::size_t n = 1; n < shifts.size(); ++n) {
        shifts[n] = factor;
        for (int bit = 0; bit < 64; ++bit) factor = times_x(factor);
    }
    return shifts;
}();

MILLRACE_CRC_TARGET std::uint64_t shift_words(std::uint64_t crc, std::size_t words) noexcept {
    const auto product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(crc)), _mm_cvtsi64_si128(word_shifts[words]), 0);
    return _mm_crc32_u64(0, static_cast<unsigned long long>(_mm_cvtsi128_si64(product)));
}

// Over 3 * words words at `bytes`.
MILLRACE_CRC_TARGET std::uint64_t three_streams(std::uint64_t crc, const std::byte* bytes, std::size_t words) noexcept {
    std::uint64_t first = crc, second = 0, third = 0;
    const std::size_t stream = words * 8;
    for (const auto* end = bytes + stream; bytes != end; bytes += 8) {
        first = _mm_crc32_u64(first, load<std::uint64_t>(bytes));
        second = _mm_crc32_u64(second, load<std::uint64_t>(bytes + stream));
        third = _mm_crc32_u64(third, load<std::uint64_t>(bytes + 2 * stream));
    }
    return shift_words(first, 2 * words) ^ shift_words(second, words) ^ third;
}

MILLRACE_CRC_TARGET std::uint32_t crc32c_accelerated(std::uint32_t initial, const void* data, std::size_t size) noexcept {
    const auto* bytes = static_cast<const std::byte*>(data);
    std::uint64_t crc = ~initial;
    while (size >= interleaved_words_min * 8) {
        const std::size_t words = std::min(size / 24, stream_words_max);
        crc = three_streams(crc, bytes, words);
        bytes += 24 * words;
        size -= 24 * words;
    }
    for (; size >= 8; bytes += 8, size -= 8) crc = _mm_crc32_u64(crc, load<std::uint64_t>(bytes));
    auto narrow = static_cast<std::uint32_t>(crc);
    if (size >= 4) {  // as the length is with which each record's checksum begins
        narrow = _mm_crc32_u32(narrow, load<std::uint32_t>(bytes));
        bytes += 4;
        size -= 4;
    }
    for (; size > 0; ++bytes, --size) narrow = _mm_crc32_u8(narrow, std::to_integer<unsigned char>(*bytes));
    return ~narrow;
}

#undef MILLRACE_CRC_TARGET

}  // namespace
#endif

bool crc32c_is_accelerated() noexcept {
#if defined(__x86_64__)
    __builtin_cpu_init();  // this may run before the constructors that would do it
    return __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
#else
    return false;
#endif
}

namespace {

using implementation = std::uint32_t (*)(std::uint32_t, const void*, std::size_t) noexcept;

std::uint32_t choose_and_run(std::uint32_t crc, const void* data, std::size_t size) noexcept;

// Set by constant initialization, replaced by the first call; two first calls at once store the same value.
constinit std::atomic<implementation> chosen{&choose_and_run};

std::uint32_t choose_and_run(std::uint32_t crc, const void* data, std::size_t size) noexcept {
    implementation best = &crc32c_portable;
#if defined(__x86_64__)
    if (crc32c_is_accelerated()) best = &crc32c_accelerated;
#endif
    chosen.store(best, std::memory_order_relaxed);
    return best(crc, data, size);
}

}  // namespace

std::uint32_t crc32c(std::uint32_t crc, const void* data, std::size_t size) noexcept {
    return chosen.load(std::memory_order_relaxed)(crc, data, size);
}

}  // namespace millrace::proto
