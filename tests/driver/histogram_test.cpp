#include "broker/driver/histogram.hpp"

#include <catch2/catch.hpp>

namespace millrace::driver {

TEST_CASE("a value counts under the first bound that is not less than it") {
    histogram h{0, 10, 100};
    for (const std::uint64_t value : {0u, 1u, 10u, 11u, 100u, 101u, 5000u}) h.observe(value);
    CHECK(h.counts() == std::vector<std::uint64_t>{1, 2, 2, 2});
    CHECK(h.count() == 7);
    CHECK(h.sum() == 5223);
}

}  // namespace millrace::driver
