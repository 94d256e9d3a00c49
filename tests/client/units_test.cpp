#include <catch2/catch.hpp>

#include "millrace/units.hpp"

using namespace millrace;
using namespace std::chrono_literals;

TEST_CASE("durations are read and written as people write them") {
    CHECK(parse_duration("250ms").value() == 250ms);
    CHECK(parse_duration("30s").value() == 30s);
    CHECK(parse_duration("5m").value() == 5min);
    CHECK(parse_duration("24h").value() == 24h);
    CHECK(parse_duration("0").value() == 0ms);
    for (const auto* text : {"250ms", "30s", "90s", "5m", "24h", "0"}) CHECK(format_duration(parse_duration(text).value()) == text);
    CHECK(format_duration(60'000ms) == "1m");
    CHECK(format_duration(1'001ms) == "1001ms");
}

TEST_CASE("what is not a duration is refused with the value") {
    for (const auto* text : {"", "s", "30", "-5s", "+5s", "5 s", "5S", "1.5s", "5sec", "5s ", " 5s", "99999999999999999999s", "9999999999999h"}) {
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.failure().code == errc::invalid_argument);
        CHECK(parsed.failure().what.find(text) != std::string::npos);
    }
}

TEST_CASE("sizes are read and written as people write them") {
    CHECK(parse_size("0").value() == 0);
    CHECK(parse_size("1000").value() == 1000);
    CHECK(parse_size("512B").value() == 512);
    CHECK(parse_size("64KiB").value() == 64 << 10);
    CHECK(parse_size("3MiB").value() == 3 << 20);
    CHECK(parse_size("10GiB").value() == 10ull << 30);
    CHECK(parse_size("2TiB").value() == 2ull << 40);
    for (const auto* text : {"0", "1000B", "64KiB", "1536KiB", "10GiB"}) CHECK(format_size(parse_size(text).value()) == text);
}

TEST_CASE("what is not a size is refused") {
    for (const auto* text : {"", "KiB", "64KB", "64kib", "-1", "1.5GiB", "64 KiB", "99999999999TiB", "18446744073709551616"})
        CHECK_FALSE(parse_size(text));
}
