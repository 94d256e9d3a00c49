#include "examples/photo_stack/relay/relays_watch.hpp"

#include <catch2/catch.hpp>

namespace photo_relay {
namespace {

using namespace std::chrono_literals;

struct watched {
    relays_watch watch;
    relays_watch::clock::time_point now{};

    std::vector<std::string> after(std::chrono::seconds passed, const relays_watch::beats_by_relay& beats) {
        now += passed;
        return watch.still(beats, now, 10s);
    }
};

using names = std::vector<std::string>;

TEST_CASE("a relay that counts is left alone, and one that does not stands still after the limit") {
    watched w;
    CHECK(w.after(0s, {{"east", 1}, {"south", 5}}).empty());
    CHECK(w.after(6s, {{"east", 1}, {"south", 6}}).empty());
    CHECK(w.after(4s, {{"east", 1}, {"south", 6}}) == names{"east"});
    CHECK(w.after(6s, {{"east", 2}, {"south", 7}}).empty());
}

TEST_CASE("a relay that never was here stands still, too") {
    watched w;
    CHECK(w.after(0s, {{"east", std::nullopt}}).empty());
    CHECK(w.after(9s, {{"east", std::nullopt}}).empty());
    CHECK(w.after(1s, {{"east", std::nullopt}}) == names{"east"});
}

TEST_CASE("a relay that was found to stand still is watched anew") {
    watched w;
    w.after(0s, {{"east", 1}});
    CHECK(w.after(10s, {{"east", 1}}) == names{"east"});
    CHECK(w.after(9s, {{"east", 1}}).empty());
    CHECK(w.after(1s, {{"east", 1}}) == names{"east"});
}

TEST_CASE("who had no rows for a while begins anew with those that it has now") {
    watched w;
    w.after(0s, {{"east", 1}});
    w.after(5s, {});
    CHECK(w.after(60s, {{"east", 1}}).empty());
    CHECK(w.after(10s, {{"east", 1}}) == names{"east"});
}

}  // namespace
}  // namespace photo_relay
