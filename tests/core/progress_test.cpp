#include "broker/core/progress.hpp"

#include <catch2/catch.hpp>

namespace millrace::core {
namespace {

const holder_id ann{session_id{1}, consumer_id{1}};
const holder_id bob{session_id{2}, consumer_id{1}};

/// Grants what is ready, at most `count`; returns it as it was granted.
progress::run grant(progress& p, sequence high, std::uint64_t count, holder_id holder) {
    const auto ready = p.next_ready(high);
    REQUIRE(ready);
    count = std::min(count, ready->last - ready->first + 1);
    p.grant(*ready, count, holder);
    p.check(high);
    return {ready->first, ready->first + (count - 1), ready->attempt};
}

struct acked {
    std::uint64_t settled = 0, released = 0;
    std::vector<lease_range> lost;
};

acked ack(progress& p, std::uint64_t first, std::uint64_t last, holder_id holder, std::uint32_t attempt = 1) {
    acked out;
    const auto before = p.counts().acked;
    progress::handed_in in;
    p.ack({0, {first}, {last}, attempt}, holder, in, out.lost);
    out.released = in.released;
    out.settled = p.counts().acked - before;
    p.check({20});
    return out;
}

TEST_CASE("messages are given once, in order, up to the high") {
    progress p({}, 0, {3});
    CHECK_FALSE(p.next_ready({3}));
    CHECK(p.ready({10}) == 7);
    CHECK(grant(p, {10}, 4, ann).first == sequence{3});
    CHECK(grant(p, {10}, 100, bob).first == sequence{7});
    CHECK_FALSE(p.next_ready({10}));
    CHECK(p.leased() == 7);
    CHECK(p.ready({12}) == 2);
    p.check({12});
}

TEST_CASE("acks settle what their holder has, and name what another has") {
    progress p({}, 0, {});
    grant(p, {20}, 10, ann);
    grant(p, {20}, 10, bob);
    const auto crossing = ack(p, 5, 14, ann);
    CHECK(crossing.settled == 5);
    CHECK(crossing.released == 5);
    CHECK(crossing.lost == std::vector<lease_range>{{0, {10}, {14}, 1}});
    CHECK(ack(p, 5, 9, ann).settled == 0);
    CHECK(ack(p, 0, 4, ann, 2).lost.size() == 1);
    CHECK(ack(p, 0, 4, ann).settled == 5);
    CHECK(p.cursor() == sequence{10});
    CHECK(p.counts().acked == 10);
}

TEST_CASE("what is given back comes first, as the next attempt") {
    progress p({}, 0, {});
    grant(p, {20}, 5, ann);
    grant(p, {20}, 5, bob);
    ack(p, 2, 2, ann);
    CHECK(p.give_back(ann) == 4);
    p.check({20});
    CHECK(p.give_back(ann) == 0);
    auto again = grant(p, {20}, 100, bob);
    CHECK(again.first == sequence{0});
    CHECK(again.last == sequence{1});
    CHECK(again.attempt == 2);
    again = grant(p, {20}, 1, ann);
    CHECK(again.first == sequence{3});
    CHECK(p.give_back(ann) == 1);
    CHECK(p.next_ready({20})->attempt == 3);
    CHECK(p.leased() == 7);
}

TEST_CASE("a late ack counts while nobody else was given the message") {
    progress p({}, 0, {});
    grant(p, {20}, 6, ann);
    p.give_back(ann);
    CHECK(grant(p, {20}, 2, bob).last == sequence{1});
    const auto late = ack(p, 0, 5, ann);
    CHECK(late.settled == 4);
    CHECK(late.released == 0);
    CHECK(late.lost == std::vector<lease_range>{{0, {0}, {1}, 1}});
    CHECK(p.next_ready({20})->first == sequence{6});
    CHECK(ack(p, 6, 8, ann).lost == std::vector<lease_range>{{0, {6}, {8}, 1}});
}

TEST_CASE("what nobody holds is settled around what somebody does") {
    progress p({}, 0, {});
    grant(p, {20}, 3, ann);
    grant(p, {20}, 3, bob);
    p.give_back(ann);
    grant(p, {20}, 1, ann);
    CHECK(p.settle_unleased({0}, {19}, &settled_counts::skipped) == 16);
    p.check({20});
    CHECK(p.counts().skipped == 16);
    CHECK(p.leased() == 4);
    CHECK_FALSE(p.next_ready({20}));
    CHECK(ack(p, 0, 0, ann, 2).settled == 1);
    CHECK(ack(p, 3, 5, bob).settled == 3);
    CHECK(p.cursor() == sequence{20});
    CHECK(p.scan() == sequence{20});
    CHECK(p.settle_unleased({0}, {19}, &settled_counts::expired) == 0);
}

TEST_CASE("the scan follows a cursor that passes it") {
    progress p({}, 0, {});
    CHECK(p.settle_unleased({0}, {9}, &settled_counts::expired) == 10);
    p.check({20});
    CHECK(p.scan() == sequence{10});
    CHECK(p.ready({20}) == 10);
    CHECK(grant(p, {20}, 100, ann).first == sequence{10});
}

TEST_CASE("a stored one asks for its blocks before it gives anything") {
    progress_row stored{subscription_id{1}, 0, {0}, {4}, {}};
    stored.counts.acked = 4 + 6;  // six of them beyond the cursor
    progress p(stored);
    CHECK(p.ready({20}) == 10);
    p.check({20});
    CHECK_FALSE(p.next_ready({20}));
    CHECK(p.missing_block() == 0u);
    settled_set::block_row row{0, 0, settled_set::bitmap{}};
    (*row.bits)[0] = 0b1111'1100'0000;
    CHECK_FALSE(p.load(0, ~std::uint64_t{0}, {row}));
    p.check({20});
    CHECK(grant(p, {20}, 100, ann).last == sequence{5});
    CHECK(grant(p, {20}, 100, ann).first == sequence{12});
    CHECK(ack(p, 4, 5, ann).settled == 2);
    CHECK(p.cursor() == sequence{12});
    CHECK(p.to_row().counts.acked == 12);
}

TEST_CASE("a load moves the cursor, and the scan with it") {
    progress_row stored{subscription_id{1}, 0, {0}, {4096}, {}};
    stored.counts.acked = 4096 + 4096;
    progress p(stored);
    CHECK(p.load(1, ~std::uint64_t{0}, {{1, 1, std::nullopt}}));
    CHECK(p.cursor() == sequence{8192});
    CHECK(p.ready({8200}) == 8);
    p.check({8200});
}

TEST_CASE("one that begins after what is durable waits for it") {
    progress p({}, 0, {10});
    p.check({5});
    CHECK(p.ready({5}) == 0);
    CHECK_FALSE(p.next_ready({5}));
    CHECK(grant(p, {12}, 100, ann).first == sequence{10});
}

}  // namespace
}  // namespace millrace::core
