#include <catch2/catch.hpp>

#include "examples/photo_stack/web/parsing/log_position.hpp"

using namespace photo_web;

TEST_CASE("the later one of two places in the database's log") {
    CHECK(later_of({"0/16B3748"}, {"0/16B3749"}).text == "0/16B3749");
    CHECK(later_of({"0/16B3749"}, {"0/16B3748"}).text == "0/16B3749");
    CHECK(later_of({"0/9"}, {"0/10"}).text == "0/10");  // numbers, not texts
    CHECK(later_of({"A/0"}, {"9/FFFFFFFF"}).text == "A/0");
    CHECK(later_of({"10/0"}, {"9/FFFFFFFF"}).text == "10/0");
    CHECK(later_of({"0/1"}, {"0/1"}).text == "0/1");
}

TEST_CASE("everything is later than the beginning") {
    CHECK(later_of({}, {"0/1"}).text == "0/1");
    CHECK(later_of({"0/1"}, {}).text == "0/1");
    CHECK(later_of({}, {}).text.empty());
}
