#include <catch2/catch.hpp>

#include "examples/photo_stack/wan_link/line.hpp"

using namespace photo_wan;
using namespace std::chrono_literals;

namespace {

const line::clock::time_point start{};

packet named(char name) { return {name}; }

}  // namespace

TEST_CASE("a packet leaves a line when its time has come") {
    line l({.delay = 10ms}, 1);
    CHECK_FALSE(l.next());
    l.enter(start, named('a'));
    l.enter(start + 3ms, named('b'));
    CHECK(l.next() == start + 10ms);
    CHECK_FALSE(l.leave(start + 9ms));
    CHECK(l.leave(start + 10ms) == named('a'));
    CHECK_FALSE(l.leave(start + 10ms));
    CHECK(l.next() == start + 13ms);
    CHECK(l.leave(start + 14ms) == named('b'));
    CHECK_FALSE(l.next());
}

TEST_CASE("packets do not overtake each other, however late one is") {
    line l({.delay = 10ms, .jitter = 50ms}, 1);
    for (int i = 0; i < 100; ++i) l.enter(start + i * 1ms, named(static_cast<char>(i)));
    auto last = start;
    for (int i = 0; i < 100; ++i) {
        const auto due = l.next();
        REQUIRE(due);
        CHECK(*due >= start + i * 1ms + 10ms);
        CHECK(*due <= start + i * 1ms + 60ms + 99ms);
        CHECK(*due >= last);
        last = *due;
        CHECK(l.leave(*due) == named(static_cast<char>(i)));
    }
}

TEST_CASE("so many of a thousand packets are lost, and all that a line has no room for") {
    line lossy({.lost_permille = 100, .packets_max = 100'000}, 1);
    for (int i = 0; i < 10'000; ++i) lossy.enter(start, named('x'));
    int left = 0;
    while (lossy.leave(start)) ++left;
    CHECK(left > 8'800);
    CHECK(left < 9'200);

    line full({.delay = 1s, .packets_max = 3}, 1);
    for (char name : {'a', 'b', 'c', 'd'}) full.enter(start, named(name));
    for (char name : {'a', 'b', 'c'}) CHECK(full.leave(start + 1s) == named(name));
    CHECK_FALSE(full.leave(start + 1s));
}
