#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "proto/crc32c.hpp"

namespace millrace::proto {
namespace {

std::vector<std::byte> noise(std::size_t size) {
    std::vector<std::byte> bytes(size);
    std::uint32_t state = 1;
    for (auto& b : bytes) {
        state = state * 1664525 + 1013904223;
        b = static_cast<std::byte>(state >> 24);
    }
    return bytes;
}

// Constant initialization of the dispatch makes this right whatever the order of the translation units.
const std::uint32_t taken_before_main = crc32c(0, "123456789", 9);

}  // namespace

TEST_CASE("crc32c gives the published values, by every way") {
    // RFC 3720, appendix B.4
    std::vector<std::byte> ascending(32), descending(32);
    for (unsigned i = 0; i < 32; ++i) ascending[i] = descending[31 - i] = static_cast<std::byte>(i);
    for (const auto& [name, function] : crc32c_ways()) {
        INFO(name);
        CHECK(function(0, "", 0) == 0);
        CHECK(function(0, "123456789", 9) == 0xE3069283);
        CHECK(function(0, std::vector<char>(32, 0).data(), 32) == 0x8A9136AA);
        CHECK(function(0, std::vector<char>(32, '\xff').data(), 32) == 0x62A8AB43);
        CHECK(function(0, ascending.data(), 32) == 0x46DD794E);
        CHECK(function(0, descending.data(), 32) == 0x113FDB5C);
    }
    CHECK(taken_before_main == 0xE3069283);
    CHECK(crc32c(ascending) == 0x46DD794E);
    CHECK(crc32c(descending) == 0x113FDB5C);
}

TEST_CASE("every way to a crc32c leads to the same value, for every length and alignment") {
    const auto bytes = noise(20'072);
    const auto ways = crc32c_ways();
    for (const auto& [name, function] : ways.subspan(1)) {
        INFO(name);
        std::size_t differences = 0;
        const auto compare = [&](std::uint32_t crc, std::size_t shift, std::size_t size) {
            differences += function(crc, bytes.data() + shift, size) != ways[0].function(crc, bytes.data() + shift, size);
        };
        for (std::size_t size = 0; size <= 5000; ++size)
            for (std::size_t shift = 0; shift < 8; ++shift) {
                if (size > 300 && shift != size % 8) continue;
                compare(7, shift, size);
            }
        for (std::size_t size = 5001; size <= 20'000; size += 97) compare(0, size % 64, size);
        CHECK(differences == 0);
    }
    std::size_t others = 0;
    for (std::size_t size = 0; size <= 20'000; size += 97) others += crc32c(7, bytes.data(), size) != ways.back().function(7, bytes.data(), size);
    CHECK(others == 0);
    if (ways.size() < 3) WARN("by " << ways.back().name << " at best: this processor has no carry-less products of AVX-512, and they are not tested");
}

TEST_CASE("crc32c is continued over pieces, by every way") {
    const auto bytes = noise(9000);
    for (const auto& [name, function] : crc32c_ways()) {
        INFO(name);
        const auto whole = function(0, bytes.data(), bytes.size());
        for (std::size_t cut : {0u, 1u, 7u, 8u, 127u, 255u, 256u, 383u, 384u, 511u, 512u, 3072u, 8999u, 9000u})
            CHECK(function(function(0, bytes.data(), cut), bytes.data() + cut, bytes.size() - cut) == whole);
        CHECK(crc32c(bytes) == whole);
    }
}

}  // namespace millrace::proto
