// Copies from the size on from which they are taken over: to whatever alignment, of whatever size, and those that must not be.
#include <dlfcn.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "broker/large_copies.hpp"

namespace millrace {
namespace {

constexpr std::size_t guard = 128;

std::vector<char> numbered(std::size_t bytes) {
    std::vector<char> made(bytes);
    for (std::size_t i = 0; i < bytes; ++i) made[i] = static_cast<char>(i * 131 + i / 251);
    return made;
}

/// What libraries call, at run time, so that the compiler has no say.
auto* found(const char* name) { return reinterpret_cast<void* (*)(void*, const void*, std::size_t)>(dlsym(RTLD_DEFAULT, name)); }

/// As a loop over bytes does it.
std::vector<char> moved(std::vector<char> bytes, std::size_t from, std::size_t to, std::size_t count) {
    const std::vector<char> source(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.begin() + static_cast<std::ptrdiff_t>(from + count));
    for (std::size_t i = 0; i < count; ++i) bytes[to + i] = source[i];
    return bytes;
}

}  // namespace

TEST_CASE("libraries find this program's copies where the processor needs them") {
    for (const char* name : {"memcpy", "memmove"}) {
        Dl_info where{};
        REQUIRE(dladdr(reinterpret_cast<void*>(found(name)), &where) != 0);
        const bool is_of_c_library = std::string(where.dli_fname).find("libc.so") != std::string::npos;
        CHECK((!takes_large_copies() || !is_of_c_library));
    }
}

TEST_CASE("a copy is the same to whatever alignment and of whatever size, and nothing beside it changes") {
    auto* copy = found(GENERATE("memcpy", "memmove"));
    const auto source = numbered(3 * large_copy_bytes);
    for (const std::size_t bytes : {large_copy_bytes - 1, large_copy_bytes, large_copy_bytes + 1, large_copy_bytes + 63, 2 * large_copy_bytes + 17})
        for (std::size_t to = 0; to < 64; to += 7)
            for (std::size_t from = 0; from < 64; from += 9) {
                std::vector<char> target(guard + 64 + bytes + guard, '#');
                auto expected = target;
                for (std::size_t i = 0; i < bytes; ++i) expected[guard + to + i] = source[from + i];
                CHECK(copy(target.data() + guard + to, source.data() + from, bytes) == target.data() + guard + to);
                CHECK((target == expected));
            }
}

TEST_CASE("what overlaps is moved as if it were copied aside first") {
    auto* move = found("memmove");
    const auto before = numbered(4 * large_copy_bytes);
    for (const std::size_t apart : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, large_copy_bytes, 2 * large_copy_bytes - 1, 2 * large_copy_bytes}) {
        auto forward = before;
        move(forward.data() + apart, forward.data(), 2 * large_copy_bytes);
        CHECK((forward == moved(before, 0, apart, 2 * large_copy_bytes)));
        auto back = before;
        move(back.data(), back.data() + apart, 2 * large_copy_bytes);
        CHECK((back == moved(before, apart, 0, 2 * large_copy_bytes)));
    }
}

}  // namespace millrace
