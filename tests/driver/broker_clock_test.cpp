#include <catch2/catch.hpp>

#include "broker/driver/broker_clock.hpp"

namespace millrace::driver {
namespace {

using namespace std::chrono_literals;

const timestamp noon{1'000'000s};

TEST_CASE("broker time is the wall clock as long as both clocks go alike") {
    broker_clock clock({noon, 5s});
    CHECK(clock.now({noon, 5s}) == noon);
    CHECK(clock.now({noon + 1h, 5s + 1h}) == noon + 1h);
}

TEST_CASE("a wall clock that is set back slows broker time by a tenth, until it has caught up") {
    broker_clock clock({noon, 0s});
    CHECK(clock.now({noon - 1min, 0s}) == noon);
    CHECK(clock.now({noon - 1min + 100s, 100s}) == noon + 90s);
    CHECK(clock.now({noon - 1min + 600s, 600s}) == noon + 540s);
    CHECK(clock.now({noon - 1min + 700s, 700s}) == noon + 640s);
}

TEST_CASE("a wall clock that is set forward hurries broker time by a tenth, until it has caught up") {
    broker_clock clock({noon, 0s});
    CHECK(clock.now({noon + 1min + 100s, 100s}) == noon + 110s);
    CHECK(clock.now({noon + 1min + 600s, 600s}) == noon + 660s);
    CHECK(clock.now({noon + 1min + 700s, 700s}) == noon + 760s);
}

TEST_CASE("broker time leans as far when it is asked for all the time, and never goes back") {
    const auto away = GENERATE(-1h, 1h);
    broker_clock clock({noon, 0s});
    auto last = noon;
    for (auto steady = 0us; steady < 1s; steady += 3us) {
        const auto time = clock.now({noon + away + steady, steady});
        REQUIRE(time >= last);
        last = time;
    }
    CHECK(std::chrono::abs(last - (noon + (away > 0h ? 1100ms : 900ms))) < 1ms);
}

TEST_CASE("a jump of the wall clock is told of once") {
    broker_clock clock({noon, 0s});
    clock.now({noon + 59s, 0s});
    CHECK_FALSE(clock.take_jump());
    clock.now({noon + 1h, 0s});
    CHECK(clock.take_jump() == std::optional<std::chrono::microseconds>(1h));
    clock.now({noon + 1h + 10s, 10s});
    CHECK_FALSE(clock.take_jump());
    clock.now({noon + 20s, 20s});
    CHECK(clock.take_jump());  // and back
}

}  // namespace
}  // namespace millrace::driver
