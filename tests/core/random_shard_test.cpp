// A shard under random work and random faults: random_world.hpp. One number reproduces a run.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>

#include "tests/core/random_world.hpp"

namespace millrace::core::testing {
namespace {

std::string broken_promise(std::uint64_t seed, const faults& chances, int steps) {
    try {
        std::mt19937_64 random(seed);
        world w([&random](std::uint64_t n) { return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random); }, chances);
        w.run(steps);
        w.come_to_rest();
        return w.deliveries() > 0 ? "" : "nothing was delivered";
    } catch (const std::logic_error& e) {
        return "seed " + std::to_string(seed) + ": " + e.what();
    }
}

TEST_CASE("every promise is kept under random work") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) CHECK(broken_promise(seed, {}, 500) == "");
}

TEST_CASE("every promise is kept when sessions are lost") {
    for (std::uint64_t seed = 101; seed <= 112; ++seed) CHECK(broken_promise(seed, {0, 15, 0, 0}, 800) == "");
}

TEST_CASE("every promise is kept when the broker dies") {
    for (std::uint64_t seed = 201; seed <= 212; ++seed) CHECK(broken_promise(seed, {8, 5, 0, 0}, 1200) == "");
}

TEST_CASE("every promise is kept when everything happens") {
    for (std::uint64_t seed = 301; seed <= 324; ++seed) CHECK(broken_promise(seed, {6, 8, 4, 10}, 1200) == "");
}

TEST_CASE("every promise is kept when handlers fail") {
    for (std::uint64_t seed = 401; seed <= 412; ++seed) CHECK(broken_promise(seed, {0, 0, 0, 0, 150}, 1200) == "");
}

TEST_CASE("every promise is kept when handlers, sessions and the broker fail") {
    for (std::uint64_t seed = 501; seed <= 524; ++seed) CHECK(broken_promise(seed, {6, 10, 3, 8, 150}, 1500) == "");
}

TEST_CASE("every promise is kept when reads fail, and everything else with them") {
    for (std::uint64_t seed = 601; seed <= 612; ++seed) CHECK(broken_promise(seed, {4, 8, 3, 8, 100, 100}, 1200) == "");
}

TEST_CASE("a sweep of MILLRACE_SEEDS seeds", "[.]") {
    const auto* seeds = std::getenv("MILLRACE_SEEDS");
    const std::uint64_t count = seeds ? std::stoull(seeds) : 100;
    for (std::uint64_t seed = 10'001; seed <= 10'000 + count; ++seed) {
        const auto odd = static_cast<int>(seed % 7);
        CHECK(broken_promise(seed, {odd, static_cast<int>(seed % 5) * 3, static_cast<int>(seed % 3), static_cast<int>(seed % 2) * 8, static_cast<int>(seed % 4) * 70}, 1500) == "");
    }
}

}  // namespace
}  // namespace millrace::core::testing
