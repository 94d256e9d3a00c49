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
    CHECK(p.unaccounted({5}) == 0);
    CHECK_FALSE(p.next_ready({5}));
    CHECK(grant(p, {12}, 100, ann).first == sequence{10});
}

const timestamp noon{std::chrono::hours{12}};
const duration timeout{1'000};
const auto ann_is_gone = [](holder_id h) { return h == ann; };

lease_range range(std::uint64_t first, std::uint64_t last, std::uint32_t attempt = 1) { return {0, {first}, {last}, attempt}; }

subscription_settings policy(std::uint32_t max_deliveries) {
    subscription_settings s;
    s.max_deliveries = max_deliveries;
    s.backoff_min = duration{100};
    s.backoff_max = duration{300};
    return s;
}

TEST_CASE("only a started lease has a deadline, and it ends with a failure") {
    progress p({}, 0, {});
    grant(p, {20}, 10, ann);
    CHECK_FALSE(p.next_due());
    p.start(range(2, 4), ann, noon, timeout);
    p.start(range(5, 5, 2), ann, noon, timeout);  // another attempt
    p.start(range(6, 6), bob, noon, timeout);     // another holder
    p.check({20});
    CHECK(p.next_due() == noon + timeout);
    progress::handed_in in;
    p.expire(noon + timeout - duration{1}, policy(5), in);
    CHECK(in.expired.empty());
    p.expire(noon + timeout, policy(5), in);
    p.check({20});
    REQUIRE(in.expired.size() == 1);
    CHECK(in.expired[0] == std::pair(ann, std::uint64_t{3}));
    CHECK(in.is_stored);
    CHECK(p.failures_of({3}) == 1);
    CHECK_FALSE(p.next_due());
    CHECK(p.next_ready({20})->first == sequence{2});
    CHECK(p.next_ready({20})->attempt == 2);
    CHECK(p.take_row_changes().put.size() == 3);
    CHECK(ack(p, 2, 4, ann).settled == 3);
    CHECK(p.take_row_changes().erase.size() == 3);
    CHECK(p.take_row_changes().put.empty());
}

TEST_CASE("a lease is extended by its holder, and not for ever") {
    progress p({}, 0, {});
    grant(p, {20}, 10, ann);
    p.start(range(0, 3), ann, noon, timeout);
    std::vector<lease_range> lost, limited;
    const auto extend = [&](lease_range what, duration later) {
        lost.clear();
        limited.clear();
        p.extend(what, ann, noon + later, timeout, duration{1'500}, lost, limited);
        p.check({20});
    };
    extend(range(0, 5), duration{600});
    CHECK(lost == std::vector{range(4, 5)});
    CHECK(limited.empty());
    extend(range(0, 3, 2), duration{600});
    CHECK(lost == std::vector{range(0, 3, 2)});
    progress::handed_in in;
    p.expire(noon + duration{1'599}, policy(5), in);
    CHECK(in.expired.empty());
    CHECK(p.next_due() == noon + duration{1'600});
    p.start(range(6, 7), ann, noon + duration{1'000}, timeout);
    extend(range(2, 8), duration{1'599});  // what is too old is named and keeps its deadline, the rest is extended
    CHECK(lost == std::vector{range(4, 5), range(8, 8)});
    CHECK(limited == std::vector{range(2, 3)});
    p.expire(noon + duration{1'600}, policy(5), in);
    CHECK(in.expired == std::vector{std::pair{ann, std::uint64_t{4}}});
    CHECK(p.next_due() == noon + duration{2'599});
}

TEST_CASE("the oldest lease is the one that was started first, however long it has been held before or is extended") {
    progress p({}, 0, {});
    grant(p, {20}, 10, ann);
    CHECK_FALSE(p.oldest_start());
    p.start(range(4, 5), ann, noon, timeout);
    p.start(range(0, 1), ann, noon + duration{300}, timeout);
    std::vector<lease_range> lost, limited;
    p.extend(range(4, 5), ann, noon + duration{500}, timeout, std::chrono::hours{1}, lost, limited);
    CHECK(p.oldest_start() == noon);
    ack(p, 4, 5, ann);
    CHECK(p.oldest_start() == noon + duration{300});
    ack(p, 0, 1, ann);
    CHECK_FALSE(p.oldest_start());
}

TEST_CASE("a part of what was started together is extended alone") {
    progress p({}, 0, {});
    grant(p, {20}, 10, ann);
    p.start(range(0, 3), ann, noon, timeout);
    std::vector<lease_range> lost, limited;
    p.extend(range(1, 1), ann, noon + duration{500}, timeout, std::chrono::hours{1}, lost, limited);
    p.check({20});
    progress::handed_in in;
    p.expire(noon + timeout, policy(5), in);
    p.check({20});
    CHECK(in.expired == std::vector{std::pair{ann, std::uint64_t{1}}, std::pair{ann, std::uint64_t{2}}});
    CHECK(p.next_due() == noon + duration{500} + timeout);
}

TEST_CASE("what one consumer is given bit by bit is one run") {
    progress p({}, 0, {});
    for (int i = 0; i < 10; ++i) grant(p, {20}, 1, ann);
    for (int i = 0; i < 5; ++i) grant(p, {20}, 1, bob);
    p.start(range(0, 14), ann, noon, timeout);
    p.start(range(0, 14), bob, noon, timeout);
    p.check({20});
    progress::handed_in in;
    p.expire(noon + timeout, policy(5), in);
    CHECK(in.expired == std::vector{std::pair{ann, std::uint64_t{10}}, std::pair{bob, std::uint64_t{5}}});
}

TEST_CASE("a lost session keeps what it has started, until the grace ends") {
    progress p({}, 0, {});
    grant(p, {20}, 10, ann);
    p.start(range(0, 3), ann, noon, std::chrono::hours{1});
    CHECK(p.orphan(ann, noon + timeout) == 10);
    p.check({20});
    CHECK(p.leased() == 4);
    CHECK(p.next_due() == noon + timeout);
    CHECK(p.next_ready({20})->first == sequence{4});
    CHECK(p.next_ready({20})->attempt == 2);
    CHECK(p.failures_of({4}) == 0);
}

TEST_CASE("who returns gets what nobody else has: of the gone, given back, delayed, never given, over holes") {
    const holder_id eve{session_id{3}, consumer_id{1}};
    progress p({}, 0, {});
    grant(p, {20}, 4, ann);
    grant(p, {20}, 2, bob);
    grant(p, {20}, 2, ann);  // 6 and 7, not started
    p.start(range(0, 3), ann, noon, timeout);
    ack(p, 1, 1, ann);
    progress::handed_in in;
    std::vector<lease_range> lost;
    p.nack(range(2, 2), ann, noon, policy(5), in, lost);
    p.orphan(ann, noon + timeout);
    CHECK(p.adopt(range(0, 11), eve, noon, timeout, ann_is_gone, lost) == 9);
    p.check({20});
    CHECK(lost == std::vector{range(4, 5), range(1, 1)});
    CHECK(p.delayed() == 0);
    CHECK(p.next_ready({20})->first == sequence{8 + 4});
    lost.clear();
    CHECK(p.adopt(range(0, 0), bob, noon, timeout, ann_is_gone, lost) == 0);
    CHECK(lost == std::vector{range(0, 0)});
    CHECK(ack(p, 8, 11, eve).settled == 4);
    CHECK(ack(p, 0, 3, eve).settled == 3);
    CHECK(p.cursor() == sequence{4});
}

TEST_CASE("what is adopted beyond the scan is passed over, and the hole before it stays to be given") {
    progress p({}, 0, {});
    std::vector<lease_range> lost;
    CHECK(p.adopt(range(10, 14), ann, noon, timeout, ann_is_gone, lost) == 5);
    p.check({20});
    CHECK(p.ready({20}) == 15);
    CHECK(ack(p, 5, 11, ann).lost == std::vector{range(5, 9)});
    CHECK(grant(p, {20}, 100, bob).last == sequence{9});
    CHECK(grant(p, {20}, 100, bob).first == sequence{15});
    CHECK(ack(p, 12, 14, ann).settled == 3);
}

TEST_CASE("a failed message is delayed for longer each time, then exhausted: dead or parked") {
    progress p({}, 0, {});
    std::vector<lease_range> lost;
    grant(p, {20}, 2, ann);
    auto now = noon;
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
        progress::handed_in in;
        p.nack(range(0, 0, attempt), ann, now, policy(4), in, lost);
        p.check({20});
        CHECK(in.released == 1);
        CHECK(in.exhausted.empty());
        CHECK(p.next_due() == now + duration{attempt == 1 ? 100 : attempt == 2 ? 200 : 300});
        now = *p.next_due();
        p.expire(now, policy(4), in);
        grant(p, {20}, 1, ann);
    }
    progress::handed_in in;
    p.nack(range(0, 0, 4), ann, now, policy(4), in, lost);
    p.reject(range(1, 1), ann, in, lost);
    CHECK(in.exhausted == std::vector{sequence{0}, sequence{1}});
    p.bury({0}, "torn");
    p.park({1}, "odd");
    p.check({20});
    CHECK(lost.empty());
    CHECK(p.cursor() == sequence{2});
    CHECK(p.least_needed() == sequence{0});
    CHECK_FALSE(p.is_done_with({0}, {0}));
    CHECK_FALSE(p.is_done_with({1}, {1}));
    CHECK(p.hand_overs().at({0}).failures == 4);
    const auto rows = p.take_row_changes();
    CHECK(rows.put.size() == 2);    // a hand-over, a parked message
    CHECK(rows.erase.size() == 1);  // the dead one's failures
    CHECK_FALSE(p.handed_over({0}).empty());
    CHECK(p.handed_over({0}).empty());
    CHECK(p.take_row_changes().erase.size() == 1);
    CHECK(p.least_needed() == sequence{1});
    CHECK(p.is_done_with({0}, {0}));
}

TEST_CASE("failures found in the store come again when they are due, and when their blocks are known") {
    progress_row stored{subscription_id{1}, 0, {0}, {4}, {}};
    stored.counts.acked = 4;
    stored.counts.parked = 1;
    progress p(stored);
    p.recover(failure_row{subscription_id{1}, 0, {9}, 2, noon, false, {}});
    p.recover(failure_row{subscription_id{1}, 0, {6}, 1, {}, true, "odd"});
    p.check({20});
    CHECK(p.delayed() == 1);
    CHECK(p.least_needed() == sequence{4});
    progress::handed_in in;
    p.expire(noon, policy(5), in);
    CHECK_FALSE(in.is_stored);
    CHECK_FALSE(p.next_ready({20}));
    CHECK(p.missing_block() == 0u);
    CHECK(ack(p, 9, 9, ann, 3).lost.size() == 1);  // it cannot be settled yet
    settled_set::block_row row{0, 0, settled_set::bitmap{}};
    (*row.bits)[0] = 1u << 6 | 0b1111;
    p.load(0, ~std::uint64_t{0}, {row});
    p.check({20});
    const auto again = grant(p, {20}, 1, ann);
    CHECK(again.first == sequence{9});
    CHECK(again.attempt == 3);
    CHECK(grant(p, {20}, 100, ann).last == sequence{5});
    CHECK(grant(p, {20}, 100, ann).last == sequence{8});
    CHECK(grant(p, {20}, 100, ann).first == sequence{10});
}

TEST_CASE("what failed on both sides of a block's end is given no further than the block that is known") {
    constexpr auto block = settled_set::block_size;
    const sequence high{2 * block};
    progress_row stored{subscription_id{1}, 0, {}, {}, {}};
    stored.counts.acked = 1;  // somewhere beyond the cursor
    progress p(stored);
    for (std::uint64_t at = block - 2; at < block + 2; ++at) p.recover(failure_row{subscription_id{1}, 0, {at}, 1, noon, false, {}});
    progress::handed_in in;
    p.expire(noon, policy(5), in);
    p.load(0, 0, {});
    const auto first = grant(p, high, 100, ann);
    CHECK(first.first == sequence{block - 2});
    CHECK(first.last == sequence{block - 1});
    CHECK_FALSE(p.next_ready(high));
    CHECK(p.missing_block() == 1u);
    settled_set::block_row row{1, 1, settled_set::bitmap{}};
    (*row.bits)[63] = 1;
    p.load(1, ~std::uint64_t{0}, {row});
    CHECK(grant(p, high, 100, ann).last == sequence{block + 1});
}

TEST_CASE("stored blocks that overlap contradict each other, though their counts add up") {
    constexpr auto block = settled_set::block_size;
    progress_row stored{subscription_id{1}, 0, {}, {}, {}};
    stored.counts.acked = 4 * block;
    const progress p(stored);
    const std::vector<settled_set::block_row> apart{{1, 2, std::nullopt}, {3, 4, std::nullopt}}, overlapping{{1, 2, std::nullopt}, {2, 3, std::nullopt}};
    CHECK(p.contradiction(0, ~std::uint64_t{0}, apart, {10 * block}).empty());
    CHECK(p.contradiction(0, ~std::uint64_t{0}, overlapping, {10 * block}) == "settled blocks 2 to 3 and 2 overlap");
}

TEST_CASE("a delay that was bounded, since the clock was put back, is over once") {
    progress p({}, 0, {});
    std::vector<lease_range> lost;
    progress::handed_in in;
    grant(p, {1}, 1, ann);
    p.nack(range(0, 0), ann, noon, policy(5), in, lost);
    const auto earlier = noon - std::chrono::hours{1};
    p.bound_delays(earlier, policy(5));
    CHECK(p.next_due() == earlier + duration{100});
    p.expire(earlier + duration{100}, policy(5), in);
    CHECK(grant(p, {1}, 1, bob).attempt == 2);
    CHECK_FALSE(p.next_due());
    p.expire(noon + duration{100}, policy(5), in);
    p.check({1});
    CHECK(p.leased() == 1);
    CHECK_FALSE(p.next_ready({1}));
}

TEST_CASE("what failed in a block that is not known stays when all the rest is settled") {
    constexpr auto block = settled_set::block_size;
    progress_row stored{subscription_id{1}, 0, {}, {}, {}};
    stored.counts.acked = 1;  // somewhere beyond the cursor
    progress p(stored);
    p.recover(failure_row{subscription_id{1}, 0, {5}, 1, noon, false, {}});
    p.recover(failure_row{subscription_id{1}, 0, {block + 5}, 1, noon, false, {}});
    p.recover(failure_row{subscription_id{1}, 0, {block + 6}, 1, noon + timeout, false, {}});
    progress::handed_in in;
    p.expire(noon, policy(5), in);
    p.load(0, 0, {});
    std::vector<lease_range> lost;
    p.ack({0, {}, {2 * block - 1}, 1}, ann, in, lost);
    p.check({2 * block});
    CHECK(p.counts().acked == 2);  // of those that failed only the first can be
    CHECK(p.delayed() == 1);
}

TEST_CASE("no more is outstanding than may be") {
    progress p({}, 0, {});
    const sequence high{2 * progress::outstanding_max};
    CHECK(grant(p, high, ~std::uint64_t{0}, ann).last == sequence{progress::outstanding_max - 1});
    CHECK_FALSE(p.next_ready(high));
    p.give_back(ann);
    CHECK(p.next_ready(high)->attempt == 2);
}

}  // namespace
}  // namespace millrace::core
