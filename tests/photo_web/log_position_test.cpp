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
    CHECK(later_of(log_position{}, log_position{}).text.empty());
}

TEST_CASE("places in the logs of several shards are compared one by one") {
    const log_positions a{{{"s1", {"0/20"}}, {"s2", {"0/9"}}}};
    const log_positions b{{{"s2", {"0/10"}}, {"s3", {"0/1"}}}};
    CHECK(later_of(a, b).to_text() == "s1=0/20 s2=0/10 s3=0/1");
    CHECK(later_of(b, a).to_text() == "s1=0/20 s2=0/10 s3=0/1");
    CHECK(later_of(a, {}).to_text() == a.to_text());
    CHECK(a.of("s3").text.empty());
}

TEST_CASE("places in the logs of several shards are read as they were written") {
    CHECK(log_positions::from_text("s1=0/20 s2=A/9").to_text() == "s1=0/20 s2=A/9");
    CHECK(log_positions::from_text("").of_shard.empty());
}
