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

}  // namespace

#if defined(__x86_64__)
namespace {

/// x^exponent.
constexpr std::uint32_t power_of_x(std::size_t exponent) {
    std::uint32_t power = 0x80000000;  // x^0
    for (; exponent > 0; --exponent) power = times_x(power);
    return power;
}

// ---- by the instruction for this checksum ----

#define MILLRACE_BY_INSTRUCTION __attribute__((target("sse4.2,pclmul")))

// The instruction takes three cycles and can start every cycle, so three streams side by side keep it busy; below the least they do not pay. Longer ones
// than this are too far apart for what the processor fetches ahead: 32 KiB that are in no cache 6 GB/s with streams of 1 KiB, 17 with these (AMD EPYC).
constexpr std::size_t interleaved_words_min = 16;
constexpr std::size_t stream_words_max = 48;

// [n]: the factor that moves a checksum over n zero words. The 33 is what the carry-less product of two reflected 32-bit numbers and its reduction by the
// instruction add.
constexpr auto word_shifts = [] {
    std::array<std::uint32_t, 2 * stream_words_max + 1> shifts{};
    for (std::size_t n = 1; n < shifts.size(); ++n) shifts[n] = power_of_x(64 * n - 33);
    return shifts;
}();

MILLRACE_BY_INSTRUCTION std::uint64_t shift_words(std::uint64_t crc, std::size_t words) noexcept {
    const auto product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(crc)), _mm_cvtsi64_si128(word_shifts[words]), 0);
    return _mm_crc32_u64(0, static_cast<unsigned long long>(_mm_cvtsi128_si64(product)));
}

// Over 3 * words words at `bytes`.
MILLRACE_BY_INSTRUCTION std::uint64_t three_streams(std::uint64_t crc, const std::byte* bytes, std::size_t words) noexcept {
    std::uint64_t first = crc, second = 0, third = 0;
    const std::size_t stream = words * 8;
    for (const auto* end = bytes + stream; bytes != end; bytes += 8) {
        first = _mm_crc32_u64(first, load<std::uint64_t>(bytes));
        second = _mm_crc32_u64(second, load<std::uint64_t>(bytes + stream));
        third = _mm_crc32_u64(third, load<std::uint64_t>(bytes + 2 * stream));
    }
    return shift_words(first, 2 * words) ^ shift_words(second, words) ^ third;
}

MILLRACE_BY_INSTRUCTION std::uint32_t one_stream(std::uint64_t crc, const std::byte* bytes, std::size_t size) noexcept {
    for (; size >= 8; bytes += 8, size -= 8) crc = _mm_crc32_u64(crc, load<std::uint64_t>(bytes));
    auto narrow = static_cast<std::uint32_t>(crc);
    if (size >= 4) {  // as the length is with which each record's checksum begins
        narrow = _mm_crc32_u32(narrow, load<std::uint32_t>(bytes));
        bytes += 4;
        size -= 4;
    }
    for (; size > 0; ++bytes, --size) narrow = _mm_crc32_u8(narrow, std::to_integer<unsigned char>(*bytes));
    return narrow;
}

MILLRACE_BY_INSTRUCTION std::uint32_t crc32c_by_instruction(std::uint32_t initial, const void* data, std::size_t size) noexcept {
    const auto* bytes = static_cast<const std::byte*>(data);
    std::uint64_t crc = ~initial;
    while (size >= interleaved_words_min * 8) {
        const std::size_t words = std::min(size / 24, stream_words_max);
        crc = three_streams(crc, bytes, words);
        bytes += 24 * words;
        size -= 24 * words;
    }
    return ~one_stream(crc, bytes, size);
}

#undef MILLRACE_BY_INSTRUCTION

// ---- by carry-less products of 64 bytes at a time ----
//
// A lane of 128 bits is a polynomial of which memory has the highest coefficient first; to move it on by `bits` is to multiply it by x^bits, modulo ours:
//
//   lane · x^bits = first half · x^(bits + 64) + second half · x^bits
//
// Products of reflected numbers come out one place too high, so each factor has an x less. What comes is moved onto what stands `bits` further on, until
// one lane is left; its checksum is that of all.

#define MILLRACE_BY_FOLDING __attribute__((target("sse4.2,pclmul,avx512f,vpclmulqdq")))

constexpr std::size_t vector_bytes = 64;
constexpr std::size_t folded_bytes_min = 4 * vector_bytes;  // four side by side keep the multiplier busy; below, three_streams() is as fast

constexpr long long factor_of_first(std::size_t bits) { return static_cast<long long>(std::uint64_t{power_of_x(bits + 63)} << 32); }
constexpr long long factor_of_second(std::size_t bits) { return static_cast<long long>(std::uint64_t{power_of_x(bits - 1)} << 32); }

/// The factors of one lane, for each of a vector's four.
template <std::size_t bits>
MILLRACE_BY_FOLDING inline __m512i factors() noexcept {
    constexpr auto first = factor_of_first(bits), second = factor_of_second(bits);
    return _mm512_set4_epi64(second, first, second, first);
}

/// `lanes` moved onto `further_on`.
MILLRACE_BY_FOLDING inline __m512i fold(__m512i lanes, __m512i by, __m512i further_on) noexcept {
    constexpr int exclusive_or = 0x96;  // of all three
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(lanes, by, 0x00), _mm512_clmulepi64_epi128(lanes, by, 0x11), further_on, exclusive_or);
}

/// The last lane, with those before it moved onto it.
MILLRACE_BY_FOLDING inline __m128i last_lane(__m512i lanes) noexcept {
    constexpr std::size_t lane = 128;
    const auto to_the_last = _mm512_set_epi64(0, 0, factor_of_second(lane), factor_of_first(lane), factor_of_second(2 * lane), factor_of_first(2 * lane),
                                              factor_of_second(3 * lane), factor_of_first(3 * lane));
    const auto moved = fold(lanes, to_the_last, _mm512_maskz_mov_epi64(0b1100'0000, lanes));
    const auto halves = _mm256_xor_si256(_mm512_castsi512_si256(moved), _mm512_extracti64x4_epi64(moved, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

MILLRACE_BY_FOLDING std::uint32_t crc32c_by_folding(std::uint32_t initial, const void* data, std::size_t size) noexcept {
    if (size < folded_bytes_min) return crc32c_by_instruction(initial, data, size);
    const auto* bytes = static_cast<const std::byte*>(data);
    const auto vector = [&bytes](std::size_t n) MILLRACE_BY_FOLDING { return _mm512_loadu_si512(bytes + n * vector_bytes); };
    const auto begun = _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~initial)));
    auto first = _mm512_xor_si512(vector(0), begun), second = vector(1), third = vector(2), fourth = vector(3);
    const auto by_four = factors<4 * 8 * vector_bytes>();
    for (bytes += folded_bytes_min, size -= folded_bytes_min; size >= folded_bytes_min; bytes += folded_bytes_min, size -= folded_bytes_min) {
        first = fold(first, by_four, vector(0));
        second = fold(second, by_four, vector(1));
        third = fold(third, by_four, vector(2));
        fourth = fold(fourth, by_four, vector(3));
    }
    const auto by_one = factors<8 * vector_bytes>();
    auto lanes = fold(third, by_one, fourth);
    lanes = fold(second, factors<2 * 8 * vector_bytes>(), lanes);
    lanes = fold(first, factors<3 * 8 * vector_bytes>(), lanes);
    for (; size >= vector_bytes; bytes += vector_bytes, size -= vector_bytes) lanes = fold(lanes, by_one, vector(0));
    const auto last = last_lane(lanes);
    const auto crc = _mm_crc32_u64(_mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(last))), static_cast<std::uint64_t>(_mm_extract_epi64(last, 1)));
    return ~one_stream(crc, bytes, size);
}

#undef MILLRACE_BY_FOLDING

}  // namespace
#endif

std::span<const crc32c_way> crc32c_ways() noexcept {
    static constexpr crc32c_way all[] = {
        {"by table", &crc32c_portable},
#if defined(__x86_64__)
        {"by instruction", &crc32c_by_instruction},
        {"by folding", &crc32c_by_folding},
#endif
    };
    std::size_t here = 1;
#if defined(__x86_64__)
    __builtin_cpu_init();  // this may run before the constructors that would do it
    if (__builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0) {
        here = 2;
        if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("vpclmulqdq") != 0) here = 3;
    }
#endif
    return std::span(all).first(here);
}

namespace {

std::uint32_t choose_and_run(std::uint32_t crc, const void* data, std::size_t size) noexcept;

// Set by constant initialization, replaced by the first call; two first calls at once store the same value.
constinit std::atomic<crc32c_function> chosen{&choose_and_run};

std::uint32_t choose_and_run(std::uint32_t crc, const void* data, std::size_t size) noexcept {
    const auto best = crc32c_ways().back().function;
    chosen.store(best, std::memory_order_relaxed);
    return best(crc, data, size);
}

}  // namespace

std::uint32_t crc32c(std::uint32_t crc, const void* data, std::size_t size) noexcept {
    return chosen.load(std::memory_order_relaxed)(crc, data, size);
}

}  // namespace millrace::proto
