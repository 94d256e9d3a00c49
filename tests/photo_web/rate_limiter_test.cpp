#include <catch2/catch.hpp>

#include "examples/photo_stack/web/rate_limiter.hpp"

using namespace photo_web;
using namespace std::chrono_literals;

TEST_CASE("so many at once, and so many a second after that, for each key") {
    rate_limiter writes({.per_second = 2, .burst = 3});
    const rate_limiter::time_point start{};
    for (int i = 0; i < 3; ++i) CHECK(writes.take("ann", start));
    CHECK_FALSE(writes.take("ann", start));
    CHECK(writes.take("bob", start));
    CHECK_FALSE(writes.take("ann", start + 499ms));
    CHECK(writes.take("ann", start + 500ms));
    CHECK_FALSE(writes.take("ann", start + 500ms));
    for (int i = 0; i < 3; ++i) CHECK(writes.take("ann", start + 1h));
    CHECK_FALSE(writes.take("ann", start + 1h));
}

TEST_CASE("keys that could write as if they never had are forgotten") {
    rate_limiter writes({.per_second = 1, .burst = 1});
    const rate_limiter::time_point start{};
    for (int i = 0; i < 1024; ++i) writes.take(std::to_string(i), start);
    CHECK(writes.keys() == 1024);
    writes.take("ann", start + 2s);
    CHECK(writes.keys() == 1);
}
