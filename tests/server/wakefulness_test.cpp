#include "broker/server/wakefulness.hpp"

#include <catch2/catch.hpp>

namespace millrace::server {
namespace {

using std::chrono::microseconds;

constexpr microseconds moment{100};
constexpr timestamp start{microseconds{1'000'000}};

/// A lone group behind which somebody is heard after that time.
timestamp exchange(wakefulness& w, timestamp at, microseconds pause) {
    w.settled(at);
    w.look(at + pause);
    w.heard(at + pause);
    return at + pause + microseconds{150};
}

TEST_CASE("a loop stays awake while the next message comes within the moment, and no longer than that") {
    wakefulness w(moment);
    w.settled(start);
    CHECK_FALSE(w.is_awake());  // nobody knows yet whether it pays
    w.heard(start + moment);
    CHECK_FALSE(w.is_awake());  // there is something to do
    w.settled(start + microseconds{300});
    CHECK(w.is_awake());
    w.look(start + microseconds{400});
    CHECK(w.is_awake());
    w.look(start + microseconds{401});
    CHECK_FALSE(w.is_awake());
}

TEST_CASE("a loop that has stayed awake for nothing sleeps until somebody is heard that soon again") {
    wakefulness w(moment);
    auto at = exchange(w, start, microseconds{50});
    w.settled(at);
    REQUIRE(w.is_awake());
    w.look(at + microseconds{101});
    w.settled(at + microseconds{300});  // a group of nobody's, by the clock
    CHECK_FALSE(w.is_awake());
    w.heard(at + microseconds{500});
    at = exchange(w, at + microseconds{600}, microseconds{101});
    w.settled(at);
    CHECK_FALSE(w.is_awake());
    w.heard(at + microseconds{60});
    w.settled(at + microseconds{200});
    CHECK(w.is_awake());
}

TEST_CASE("what is heard behind what was heard says nothing about the time behind a group") {
    wakefulness w(moment);
    w.settled(start);
    w.heard(start + microseconds{20});
    w.heard(start + microseconds{900});
    w.settled(start + microseconds{1000});
    CHECK(w.is_awake());
}

TEST_CASE("without a moment a loop always sleeps") {
    wakefulness w(microseconds{0});
    w.settled(start);
    w.heard(start);
    w.settled(start);
    CHECK_FALSE(w.is_awake());
}

}  // namespace
}  // namespace millrace::server
