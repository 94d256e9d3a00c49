// Histories with one fault planted in each: the checker convicts every one, and acquits the same history without it.
#include <catch2/catch.hpp>

#include "tests/sim/checker.hpp"

namespace millrace::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t the_topic = 1, dead_topic = 2, the_subscription = 7, undertaker = 8;
const timestamp start{1000s};

reader reader_of(std::uint64_t session, std::uint32_t consumer = 1) {
    return {session_key{session}, consumer, the_subscription, the_topic};
}

/// A topic with one subscription, whose dead letters go to another topic, and ten messages.
struct history {
    checker judge;
    std::vector<message_number> numbers;

    history() {
        judge.topic_created(the_topic, "orders");
        judge.topic_created(dead_topic, "dead");
        judge.subscription_created(the_subscription, {"orders", "billing", the_topic, {sequence{0}}, 5s, 1s, 3, "dead"});
        judge.subscription_created(undertaker, {"dead", "undertaker", dead_topic, {sequence{0}}, 5s, 1s, 0, ""});
        for (int i = 0; i < 10; ++i) numbers.push_back(judge.publish("orders", 20));
        judge.publish_answered(the_topic, 0, {0}, numbers);
    }

    std::string payload(std::uint64_t at) const { return checker::payload_of(numbers.at(at), 20); }
    void deliver(timestamp now, const reader& to, std::uint64_t at, std::uint32_t attempt = 1) { judge.delivered(now, to, {0, {at}, attempt, payload(at)}); }
    void bury(std::uint64_t at, std::uint64_t place, std::uint32_t failures, std::uint32_t attempt = 1) {
        const reader to{session_key{90}, 1, undertaker, dead_topic};
        judge.delivered(start, to, {0, {place}, attempt, payload(at)}, dead_letter{"orders", "billing", 0, {at}, failures});
    }
    hand_in_key hand(timestamp now, const reader& from, hand_in how, std::uint64_t at, std::uint32_t attempt = 1) {
        return judge.hand_in_sent(now, from, how, {{0, {at}, {at}, attempt}});
    }
    void hand_and_answer(timestamp now, const reader& from, hand_in how, std::uint64_t at, std::uint32_t attempt = 1) {
        judge.hand_in_answered(now, hand(now, from, how, at, attempt), {});
    }
    void adopt(const reader& by, const std::vector<token_range>& presented, const std::vector<token_range>& lost) {
        judge.adoption_sent(by, presented);
        judge.adopted(start, start, by, presented, lost);
    }
    void describe(described_progress p) {
        judge.describe_sent();
        judge.described(the_subscription, {p});
    }
};

const reader anna = reader_of(1), bert = reader_of(2);

TEST_CASE("a history without a fault is acquitted") {
    history h;
    for (std::uint64_t at = 0; at < 10; ++at) {
        h.deliver(start, anna, at);
        h.hand_and_answer(start, anna, hand_in::ack, at);
    }
    h.describe({{0}, {10}, {10}, 10, 10});
    CHECK_NOTHROW(h.judge.settle_accounts());
}

TEST_CASE("what arrives is what was sent, in its one place") {
    history h;
    auto changed = h.payload(0);
    changed.back() = changed.back() == 'a' ? 'b' : 'a';
    CHECK_THROWS_AS(h.judge.delivered(start, anna, {0, {0}, 1, changed}), violation);
    CHECK_THROWS_AS(h.judge.delivered(start, anna, {0, {0}, 1, h.payload(0) + "x"}), violation);
    CHECK_THROWS_AS(h.judge.delivered(start, anna, {0, {0}, 1, "99:nobody sent this"}), violation);
    CHECK_THROWS_AS(h.judge.delivered(start, anna, {0, {0}, 1, h.payload(1)}), violation);
    CHECK_THROWS_AS(h.judge.delivered(start, {session_key{1}, 1, undertaker, dead_topic}, {0, {0}, 1, h.payload(0)}), violation);
    CHECK_NOTHROW(h.deliver(start, anna, 0));
}

TEST_CASE("a sequence is given once") {
    history h;
    CHECK_THROWS_AS(h.judge.publish_answered(the_topic, 0, {9}, {h.judge.publish("orders", 5)}), violation);
    CHECK_THROWS_AS(h.judge.publish_answered(the_topic, 0, {9}, {h.numbers[9]}), violation);
    CHECK_NOTHROW(h.judge.publish_answered(the_topic, 0, {10}, {h.judge.publish("orders", 5)}));
}

TEST_CASE("a named producer's message is stored once") {
    history h;
    const auto one = h.judge.publish("orders", 5);
    h.judge.producers().sent(h.judge.producers().begins("web"), one);
    h.judge.publish_answered(the_topic, 0, {10}, {one});
    CHECK_NOTHROW(h.judge.delivered(start, anna, {0, {10}, 1, checker::payload_of(one, 5)}));
    CHECK_THROWS_AS(h.judge.delivered(start, anna, {0, {11}, 1, checker::payload_of(one, 5)}), violation);
    CHECK_THROWS_AS(h.judge.delivered(start, anna, {1, {10}, 1, checker::payload_of(one, 5)}), violation);

    SECTION("another's may be there twice, when it was sent again") {
        const auto unnamed = h.judge.publish("orders", 5);
        h.judge.publish_answered(the_topic, 0, {12}, {unnamed});
        CHECK_NOTHROW(h.judge.delivered(start, anna, {0, {13}, 1, checker::payload_of(unnamed, 5)}));
    }
}

TEST_CASE("an answered publish is not lost") {
    history h;
    for (std::uint64_t at = 0; at < 9; ++at) {
        h.deliver(start, anna, at);
        h.hand_and_answer(start, anna, hand_in::ack, at);
    }
    h.describe({{0}, {10}, {10}, 10, 10});
    CHECK_THROWS_AS(h.judge.settle_accounts(), violation);

    SECTION("unless a purge may have skipped it") {
        h.judge.may_skip(the_topic);
        CHECK_NOTHROW(h.judge.settle_accounts());
    }
}

TEST_CASE("a parked message is accounted for") {
    history h;
    for (std::uint64_t at = 0; at < 9; ++at) {
        h.deliver(start, anna, at);
        h.hand_and_answer(start, anna, hand_in::ack, at);
    }
    h.describe({{0}, {10}, {10}, 10, 9, 0, 1});
    CHECK_NOTHROW(h.judge.settle_accounts());
}

TEST_CASE("an answered ack is final") {
    history h;
    h.deliver(start, anna, 0);
    SECTION("answered") {
        h.hand_and_answer(start, anna, hand_in::ack, 0);
        CHECK_THROWS_AS(h.deliver(start, bert, 0, 2), violation);
    }
    SECTION("also across a restart") {
        h.hand_and_answer(start, anna, hand_in::ack, 0);
        h.judge.session_ended(start, anna.session);
        h.judge.broker_crashed();
        CHECK_THROWS_AS(h.deliver(start, bert, 0), violation);
    }
    SECTION("unanswered: it may come again") {
        h.judge.hand_in_unanswered(h.hand(start, anna, hand_in::ack, 0));
        CHECK_NOTHROW(h.deliver(start, bert, 0, 2));
    }
    SECTION("rejected") {
        h.hand_and_answer(start, anna, hand_in::reject, 0);
        CHECK_THROWS_AS(h.deliver(start, bert, 0, 2), violation);
    }
}

TEST_CASE("first deliveries come in order") {
    history h;
    h.deliver(start, anna, 3);
    CHECK_NOTHROW(h.deliver(start, anna, 1, 2));
    CHECK_NOTHROW(h.deliver(start, bert, 2));
    CHECK_THROWS_AS(h.deliver(start, anna, 2), violation);
    h.judge.consumer_opened(anna);
    CHECK_NOTHROW(h.deliver(start, anna, 4));
}

TEST_CASE("nothing before a subscription's start") {
    history h;
    h.judge.subscription_created(the_subscription, {"orders", "billing", the_topic, {sequence{5}}, 5s, 1s, 3, "dead"});
    CHECK_THROWS_AS(h.deliver(start, anna, 4), violation);
}

TEST_CASE("a message has one holder") {
    history h;
    h.deliver(start, anna, 0);
    SECTION("unstarted, for as long as the session lives") { CHECK_THROWS_AS(h.deliver(start + 1h, bert, 0, 2), violation); }
    SECTION("another consumer of the same session is another holder") { CHECK_THROWS_AS(h.deliver(start, reader_of(1, 2), 0, 2), violation); }
    SECTION("started: until its deadline") {
        h.judge.start_sent(start, anna, {{0, {0}, {0}, 1}});
        CHECK_THROWS_AS(h.deliver(start + 4999ms, bert, 0, 2), violation);
    }
    SECTION("and not after it") {
        h.judge.start_sent(start, anna, {{0, {0}, {0}, 1}});
        CHECK_NOTHROW(h.deliver(start + 5s, bert, 0, 2));
    }
    SECTION("extended: until the new deadline") {
        h.judge.start_sent(start, anna, {{0, {0}, {0}, 1}});
        h.judge.extend_answered(start + 3s, anna, {{0, {0}, {0}, 1}}, {});
        CHECK_THROWS_AS(h.deliver(start + 7s, bert, 0, 2), violation);
    }
    SECTION("a confirmed start outlives its session") {
        h.judge.start_sent(start, anna, {{0, {0}, {0}, 1}});
        h.judge.extend_answered(start, anna, {{0, {0}, {0}, 1}}, {});
        h.judge.session_lost(start, anna.session);
        CHECK_THROWS_AS(h.deliver(start + 1s, bert, 0, 2), violation);
    }
    SECTION("given back, closed, or lost unstarted: free") {
        const auto how = GENERATE(0, 1, 2);
        if (how == 0) h.hand(start, anna, hand_in::release, 0);
        if (how == 1) h.judge.closed(anna);
        if (how == 2) h.judge.session_lost(start, anna.session);
        CHECK_NOTHROW(h.deliver(start, bert, 0, 2));
    }
}

TEST_CASE("an adopted lease is a lease") {
    history h;
    h.deliver(start, anna, 0);
    h.deliver(start, anna, 1);
    h.judge.session_ended(start, anna.session);
    const auto back = reader_of(3);
    h.adopt(back, {{0, {0}, {0}, 1}, {0, {1}, {1}, 1}}, {{0, {1}, {1}, 1}});
    CHECK_THROWS_AS(h.deliver(start + 4s, bert, 0, 2), violation);
    CHECK_NOTHROW(h.deliver(start, bert, 1, 2));
    SECTION("what somebody else holds is not adopted") { CHECK_THROWS_AS(h.adopt(reader_of(4), {{0, {1}, {1}, 1}}, {}), violation); }
    SECTION("nor what is settled") {
        h.hand_and_answer(start, bert, hand_in::ack, 1, 2);
        CHECK_THROWS_AS(h.adopt(reader_of(4), {{0, {1}, {1}, 1}}, {}), violation);
    }
}

TEST_CASE("a holder does not lose what it has") {
    history h;
    h.deliver(start, anna, 0);
    const auto key = h.hand(start, anna, hand_in::ack, 0);
    CHECK_THROWS_AS(h.judge.hand_in_answered(start, key, {{0, {0}, {0}, 1}}), violation);

    h.deliver(start, anna, 1);
    h.judge.start_sent(start, anna, {{0, {1}, {1}, 1}});
    const auto late = h.hand(start + 6s, anna, hand_in::ack, 1);
    CHECK_NOTHROW(h.judge.hand_in_answered(start + 6s, late, {{0, {1}, {1}, 1}}));
}

TEST_CASE("a failed message waits for its backoff") {
    history h;
    h.deliver(start, anna, 0);
    h.hand_and_answer(start, anna, hand_in::nack, 0);
    CHECK_THROWS_AS(h.deliver(start + 999ms, bert, 0, 2), violation);
    CHECK_NOTHROW(h.deliver(start + 1s, bert, 0, 2));

    SECTION("unless the broker came back with another clock, which may be ahead") {
        h.deliver(start + 2s, anna, 1);
        h.hand_and_answer(start + 2s, anna, hand_in::nack, 1);
        h.judge.time_leapt();
        CHECK_NOTHROW(h.deliver(start + 2s, bert, 1, 2));
    }
}

TEST_CASE("a failure that was answered is counted for ever") {
    history h;
    h.deliver(start, anna, 0);
    SECTION("one that was given back may count or not") {
        h.judge.session_ended(start, anna.session);
        const auto attempt = GENERATE(1u, 2u);
        CHECK_NOTHROW(h.deliver(start, bert, 0, attempt));
    }
    SECTION("an answered nack is counted by its dead letter, also after a crash") {
        h.hand_and_answer(start, anna, hand_in::nack, 0);
        if (GENERATE(false, true)) h.judge.broker_crashed();
        h.deliver(start + 1s, anna, 0, 2);
        h.hand_and_answer(start + 1s, anna, hand_in::reject, 0, 2);
        CHECK_THROWS_AS(h.bury(0, 0, 1), violation);
        CHECK_NOTHROW(h.bury(0, 0, 2));
    }
    SECTION("one whose answer was not heard may count or not") {
        h.hand(start, anna, hand_in::nack, 0);
        h.judge.broker_crashed();
        const auto attempt = GENERATE(1u, 2u);
        CHECK_NOTHROW(h.deliver(start + 1s, bert, 0, attempt));
    }
}

TEST_CASE("a broker whose clock may run fast may end what it waits for so much earlier, and not more") {
    history h;
    h.judge.clocks_run_up_to(1250);
    SECTION("a lease") {
        h.deliver(start, anna, 0);
        h.judge.start_sent(start, anna, {{0, {0}, {0}, 1}});
        SECTION("not before") { CHECK_THROWS_AS(h.deliver(start + 3999ms, bert, 0, 2), violation); }
        SECTION("then") { CHECK_NOTHROW(h.deliver(start + 4s, bert, 0, 2)); }
    }
    SECTION("a backoff") {
        h.deliver(start, anna, 0);
        h.hand_and_answer(start, anna, hand_in::nack, 0);
        SECTION("not before") { CHECK_THROWS_AS(h.deliver(start + 799ms, bert, 0, 2), violation); }
        SECTION("then") { CHECK_NOTHROW(h.deliver(start + 800ms, bert, 0, 2)); }
    }
}

TEST_CASE("dead letters arrive once, with their true origin") {
    history h;
    h.deliver(start, anna, 0);
    h.hand_and_answer(start, anna, hand_in::reject, 0);
    SECTION("once") {
        CHECK_NOTHROW(h.bury(0, 0, 1));
        CHECK_NOTHROW(h.bury(0, 0, 1, 2));  // delivered again, from the same place
        CHECK_THROWS_AS(h.bury(0, 1, 1), violation);
    }
    SECTION("with the message that died") {
        CHECK_THROWS_AS(h.judge.delivered(start, {session_key{90}, 1, undertaker, dead_topic}, {0, {0}, 1, h.payload(1)},
                                          dead_letter{"orders", "billing", 0, {0}, 1}),
                        violation);
    }
    SECTION("with no more failures than there were") {
        CHECK_THROWS_AS(h.bury(0, 0, 3), violation);
        CHECK_THROWS_AS(h.bury(0, 0, 0), violation);
    }
    SECTION("what a session does that may have been ended may count") {
        h.deliver(start, anna, 1);
        h.judge.session_ended(start, bert.session);
        h.deliver(start, bert, 1, 2);
        h.hand(start, bert, hand_in::reject, 1, 2);
        CHECK_NOTHROW(h.bury(1, 0, 3));
    }
    SECTION("an adoption may have been one") {
        h.deliver(start, anna, 1);
        h.judge.session_ended(start, anna.session);
        h.deliver(start, bert, 1, 2);
        CHECK_THROWS_AS(h.bury(1, 0, 3), violation);
        h.judge.adoption_sent(reader_of(3), {{0, {1}, {1}, 2}});
        SECTION("also when its answer was not heard") { CHECK_NOTHROW(h.bury(1, 0, 3)); }
        SECTION("but not when it was refused") {
            h.judge.adopted(start, start, reader_of(3), {{0, {1}, {1}, 2}}, {{0, {1}, {1}, 2}});
            CHECK_THROWS_AS(h.bury(1, 0, 3), violation);
        }
    }
    SECTION("in the topic that was named") {
        CHECK_THROWS_AS(h.judge.delivered(start, {session_key{90}, 1, the_subscription, the_topic}, {0, {20}, 1, h.payload(0)},
                                          dead_letter{"orders", "billing", 0, {0}, 1}),
                        violation);
    }
    SECTION("and none is missing") {
        h.judge.may_skip(the_topic);
        h.describe({{0}, {10}, {10}, 10, 9, 1});
        CHECK_THROWS_AS(h.judge.settle_accounts(), violation);
        h.bury(0, 0, 1);
        CHECK_NOTHROW(h.judge.settle_accounts());
    }
}

TEST_CASE("a message does not die early, nor after its ack") {
    history h;
    h.deliver(start, anna, 0);
    SECTION("before its last delivery") {
        h.hand_and_answer(start, anna, hand_in::nack, 0);
        CHECK_THROWS_AS(h.bury(0, 0, 1), violation);
    }
    SECTION("after an ack in time") {
        h.deliver(start, anna, 0, 2);
        h.deliver(start, anna, 0, 3);
        h.hand_and_answer(start, anna, hand_in::ack, 0, 3);
        CHECK_THROWS_AS(h.bury(0, 0, 3), violation);
    }
    SECTION("and is not delivered afterwards") {
        h.deliver(start, anna, 0, 2);
        h.deliver(start, anna, 0, 3);
        h.bury(0, 0, 3);
        CHECK_THROWS_AS(h.deliver(start, anna, 0, 4), violation);
    }
}

TEST_CASE("the numbers add up and never go back") {
    history h;
    h.describe({{0}, {4}, {10}, 10, 4, 0, 0, 0, 0, 1, 2, 3});
    SECTION("sum") { CHECK_THROWS_AS(h.describe({{0}, {4}, {10}, 10, 4, 0, 0, 0, 0, 1, 2, 2}), violation); }
    SECTION("span") { CHECK_THROWS_AS(h.describe({{0}, {4}, {10}, 9, 4, 0, 0, 0, 0, 1, 2, 2}), violation); }
    SECTION("cursor") { CHECK_THROWS_AS(h.describe({{0}, {3}, {10}, 10, 4, 0, 0, 0, 0, 1, 2, 3}), violation); }
    SECTION("high") { CHECK_THROWS_AS(h.describe({{0}, {4}, {9}, 9, 4, 0, 0, 0, 0, 1, 2, 2}), violation); }
    SECTION("settled") { CHECK_THROWS_AS(h.describe({{0}, {4}, {10}, 10, 3, 0, 0, 0, 0, 2, 2, 3}), violation); }
    SECTION("start") { CHECK_THROWS_AS(h.describe({{1}, {4}, {10}, 9, 4, 0, 0, 0, 0, 1, 1, 3}), violation); }
    SECTION("an answered publish is below high") {
        h.judge.publish_answered(the_topic, 0, {10}, {h.judge.publish("orders", 5)});
        CHECK_THROWS_AS(h.describe({{0}, {4}, {10}, 10, 4, 0, 0, 0, 0, 1, 2, 3}), violation);
    }
    SECTION("and nothing is wrong with progress") { CHECK_NOTHROW(h.describe({{0}, {5}, {10}, 10, 5, 0, 0, 0, 0, 0, 2, 3})); }
}

}  // namespace
}  // namespace millrace::sim
