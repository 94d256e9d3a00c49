// When a group without a message waits for one: acks that come beside messages share their sync.
#include <catch2/catch.hpp>

#include "tests/driver/bench.hpp"

namespace millrace::driver {
namespace {

using namespace std::chrono_literals;

constexpr driver_settings sociable{.company_time = 2ms};

/// A message just published and delivered, not settled.
partition_id one_held(bench& b) {
    const auto where = b.topic("t");
    b.subscribe(2, "t", 100);
    b.publish(where, 2);
    b.flush();
    REQUIRE(b.commit_one().pushes.size() == 1);
    b.flush();
    while (!b.pending_.empty()) b.commit_one();
    b.pass(0ms);  // what was due with the start
    return where;
}

TEST_CASE("acks go with a message that comes soon") {
    bench b(sociable);
    const auto where = one_held(b);
    b.ack(2, 0, 0);
    CHECK(b.flush().commits.empty());
    CHECK(b->next_deadline() == b.now_ + 2ms);
    b.publish(where, 1);
    CHECK(b.flush().commits.size() == 1);
    CHECK(b.commit_one().answers.size() == 2);
    CHECK(b->idle());
}

TEST_CASE("acks wait for a message no longer than they may") {
    bench b(sociable);
    one_held(b);
    b.ack(2, 0, 0);
    b.flush();
    b.pass(1ms);
    b.ack(2, 1, 1);
    CHECK(b.flush().commits.empty());
    CHECK(b.pass(1ms).commits.size() == 1);
    CHECK(b.commit_one().answers.size() == 2);
    CHECK(b->idle());
}

TEST_CASE("acks wait for no message where none have come for a while, or when they may not") {
    const auto may = GENERATE(true, false);
    bench b(may ? sociable : driver_settings{});
    one_held(b);
    if (may) b.pass(9ms);
    b.ack(2, 0, 0);
    CHECK(b.flush().commits.size() == 1);
}

TEST_CASE("a group that waits asks for no time while the store can take no group") {
    bench b({.groups_in_flight = 1, .company_time = 2ms});
    const auto where = one_held(b);
    b.ack(2, 0, 0);
    b.flush();
    b.publish(where, 1);
    b.flush();
    b.ack(2, 1, 1);
    b.flush();
    CHECK((!b->next_deadline() || *b->next_deadline() > b.now_ + 2ms));
    b.commit_one();
    CHECK(b.flush().commits.empty());
    CHECK(b->next_deadline() == b.now_ + 2ms);
}

}  // namespace
}  // namespace millrace::driver
