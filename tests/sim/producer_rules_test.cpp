// Histories of named producers with one fault planted in each: the checker convicts every one, and acquits the same history without it.
#include <catch2/catch.hpp>

#include "tests/sim/checker.hpp"

namespace millrace::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t the_topic = 1;
const timestamp start{1000s};

/// A topic, and a process that has opened producer "till" under epoch 1.
struct history {
    checker judge;
    incarnation_key till;

    history() {
        judge.topic_created(the_topic, "orders");
        till = open(1);
    }

    producer_rules& rules() { return judge.producers(); }

    incarnation_key open(std::uint32_t epoch, const std::vector<producer_rules::position>& told = {}) {
        const auto who = rules().begins("till");
        rules().opening_sent(who);
        rules().opening_answered(who, epoch, told);
        return who;
    }
    void come_back(incarnation_key who, std::uint32_t epoch, const std::vector<producer_rules::position>& told = {}) {
        rules().opening_sent(who);
        rules().opening_answered(who, epoch, told);
    }
    message_number send(incarnation_key who) {
        const auto number = judge.publish("orders", 20);
        rules().sent(who, number);
        return number;
    }
    void answer(incarnation_key who, std::uint64_t batch, std::uint64_t first, const std::vector<message_number>& numbers) {
        judge.publish_answered(the_topic, 0, {first}, numbers);
        rules().answered(who, {the_topic, 0, batch}, {first}, numbers.size());
    }
    void see(message_number number, std::uint64_t at, std::uint32_t partition = 0) {
        judge.seen(the_topic, {partition, {at}, 1, checker::payload_of(number, 20)});
    }
};

TEST_CASE("a producer's history without a fault is acquitted") {
    history h;
    const auto a = h.send(h.till), b = h.send(h.till), c = h.send(h.till);
    h.answer(h.till, 1, 0, {a, b});
    h.come_back(h.till, 2, {{the_topic, 0, 1}});
    h.answer(h.till, 1, 0, {a, b});  // sent again, and answered as before
    h.answer(h.till, 2, 2, {c});
    h.see(a, 0);
    h.see(c, 2);
    const auto heir = h.open(3, {{the_topic, 0, 2}});
    h.rules().fenced(h.till);
    h.answer(heir, 3, 3, {h.send(heir)});
    CHECK_NOTHROW(h.judge.settle_accounts());
}

TEST_CASE("a process that was fenced before the broker crashed is fenced after it too") {
    history h;
    h.open(2);
    h.rules().opening_sent(h.till);
    h.rules().fenced(h.till);
    h.rules().broker_crashed();
    h.rules().opening_sent(h.till);
    CHECK_NOTHROW(h.rules().fenced(h.till));
}

TEST_CASE("a numbered batch is stored once") {
    history h;
    const auto a = h.send(h.till);
    h.answer(h.till, 1, 0, {a});
    SECTION("seen at a second place") { CHECK_THROWS_AS(h.see(a, 1), violation); }
    SECTION("in another partition") { CHECK_THROWS_AS(h.see(a, 0, 1), violation); }
    SECTION("answered with a second place") { CHECK_THROWS_AS(h.answer(h.till, 1, 1, {a}), violation); }
    SECTION("answered again with its place") { CHECK_NOTHROW(h.answer(h.till, 1, 0, {a})); }
    SECTION("a topic of its name that is made later is another one") {
        h.judge.topic_forgotten(the_topic);
        h.judge.topic_created(2, "orders");
        CHECK_NOTHROW(h.judge.seen(2, {0, {5}, 1, checker::payload_of(a, 20)}));
    }
    SECTION("a message without a number may be sent, and stored, twice") {
        const auto unnumbered = h.judge.publish("orders", 20);
        h.see(unnumbered, 1);
        CHECK_NOTHROW(h.see(unnumbered, 2));
    }
}

TEST_CASE("a batch number has one place") {
    history h;
    h.rules().answered(h.till, {the_topic, 0, 1}, {0}, 1);
    CHECK_THROWS_AS(h.rules().answered(h.till, {the_topic, 0, 1}, {1}, 1), violation);
    CHECK_NOTHROW(h.rules().answered(h.till, {the_topic, 0, 1}, {0}, 1));
    CHECK_NOTHROW(h.rules().answered(h.till, {the_topic, 1, 1}, {1}, 1));  // each partition has its own
}

TEST_CASE("batches are stored in the order of their numbers") {
    history h;
    h.rules().answered(h.till, {the_topic, 0, 1}, {0}, 2);
    SECTION("before an earlier one") { CHECK_THROWS_AS(h.rules().answered(h.till, {the_topic, 0, 2}, {1}, 1), violation); }
    SECTION("an earlier one behind it") {
        h.rules().answered(h.till, {the_topic, 0, 3}, {4}, 1);
        CHECK_THROWS_AS(h.rules().answered(h.till, {the_topic, 0, 2}, {5}, 1), violation);
    }
    SECTION("in order") {
        h.rules().answered(h.till, {the_topic, 0, 3}, {4}, 1);
        CHECK_NOTHROW(h.rules().answered(h.till, {the_topic, 0, 2}, {2}, 2));
    }
}

TEST_CASE("what a producer sends to a partition is stored in that order") {
    history h;
    const auto a = h.send(h.till), b = h.send(h.till), c = h.send(h.till);
    h.see(b, 3);
    SECTION("behind what was sent later") { CHECK_THROWS_AS(h.see(a, 4), violation); }
    SECTION("before what was sent earlier") { CHECK_THROWS_AS(h.see(c, 2), violation); }
    SECTION("in order") {
        CHECK_NOTHROW(h.see(a, 2));
        CHECK_NOTHROW(h.see(c, 4));
    }
    SECTION("partitions have each their own") { CHECK_NOTHROW(h.see(a, 9, 1)); }
}

TEST_CASE("an opening has a larger epoch than what was known") {
    history h;
    SECTION("than before") { CHECK_NOTHROW(h.open(2)); }
    SECTION("gaps are openings whose answer was lost") { CHECK_NOTHROW(h.open(5)); }
    SECTION("the same") { CHECK_THROWS_AS(h.open(1), violation); }
    SECTION("a smaller one") {
        h.open(5);
        CHECK_THROWS_AS(h.open(4), violation);
    }
    SECTION("two at once, answered the other way round") {
        const auto one = h.rules().begins("till"), two = h.rules().begins("till");
        h.rules().opening_sent(one);
        h.rules().opening_sent(two);
        h.rules().opening_answered(two, 3, {});
        CHECK_NOTHROW(h.rules().opening_answered(one, 2, {}));
        CHECK_THROWS_AS(h.open(3), violation);
    }
    SECTION("one epoch for two") {
        const auto one = h.rules().begins("till"), two = h.rules().begins("till");
        h.rules().opening_sent(one);
        h.rules().opening_sent(two);
        h.rules().opening_answered(two, 2, {});
        CHECK_THROWS_AS(h.rules().opening_answered(one, 2, {}), violation);
    }
}

TEST_CASE("an opening tells of everything that was answered") {
    history h;
    h.answer(h.till, 1, 0, {h.send(h.till)});
    h.answer(h.till, 2, 1, {h.send(h.till)});
    SECTION("of the last batch") { CHECK_NOTHROW(h.open(2, {{the_topic, 0, 2}})); }
    SECTION("also of what was not answered") { CHECK_NOTHROW(h.open(2, {{the_topic, 0, 3}})); }
    SECTION("not of an earlier one") { CHECK_THROWS_AS(h.open(2, {{the_topic, 0, 1}}), violation); }
    SECTION("not of nothing") { CHECK_THROWS_AS(h.open(2), violation); }
    SECTION("also to who returns") { CHECK_THROWS_AS(h.come_back(h.till, 2), violation); }
    SECTION("topics that are gone are gone") {
        h.judge.topic_forgotten(the_topic);
        CHECK_NOTHROW(h.open(2));
    }
    SECTION("what was answered after it was sent may have come later") {
        const auto late = h.rules().begins("till");
        h.rules().opening_sent(late);
        const auto next = h.open(3, {{the_topic, 0, 2}});
        h.answer(next, 3, 2, {h.send(next)});
        CHECK_NOTHROW(h.rules().opening_answered(late, 2, {{the_topic, 0, 2}}));
    }
}

TEST_CASE("a fenced process stores nothing after the newer one was answered") {
    history h;
    const auto before = h.send(h.till);
    const auto heir = h.rules().begins("till");
    h.rules().opening_sent(heir);
    const auto meanwhile = h.send(h.till);
    h.rules().opening_answered(heir, 2, {});
    const auto after = h.send(h.till);
    CHECK_NOTHROW(h.see(before, 0));
    CHECK_NOTHROW(h.see(meanwhile, 1));
    const auto of_heir = h.send(heir);
    SECTION("sent after it") { CHECK_THROWS_AS(h.see(after, 2), violation); }
    SECTION("the newer one may") { CHECK_NOTHROW(h.see(of_heir, 2)); }
}

TEST_CASE("what was under way when a process was fenced comes before what the newer one stores") {
    history h;
    const auto slow = h.send(h.till);
    const auto heir = h.open(2);
    h.see(h.send(heir), 1);
    SECTION("not behind it") { CHECK_THROWS_AS(h.see(slow, 2), violation); }
    SECTION("before it") { CHECK_NOTHROW(h.see(slow, 0)); }
}

TEST_CASE("nobody returns after another has opened the name") {
    history h;
    SECTION("alone it may") { CHECK_NOTHROW(h.come_back(h.till, 2)); }
    SECTION("but not after another") {
        h.open(2);
        CHECK_THROWS_AS(h.come_back(h.till, 3), violation);
    }
    SECTION("before another it may, whoever hears first") {
        h.rules().opening_sent(h.till);
        h.open(3);
        CHECK_NOTHROW(h.rules().opening_answered(h.till, 2, {}));
    }
}

TEST_CASE("nobody is fenced but by another process") {
    history h;
    SECTION("by nobody") { CHECK_THROWS_AS(h.rules().fenced(h.till), violation); }
    SECTION("by its own return") {
        h.come_back(h.till, 2);
        CHECK_THROWS_AS(h.rules().fenced(h.till), violation);
    }
    SECTION("by one that it has fenced itself") {
        const auto heir = h.open(2);
        CHECK_THROWS_AS(h.rules().fenced(heir), violation);
    }
    SECTION("by another") {
        h.open(2);
        CHECK_NOTHROW(h.rules().fenced(h.till));
    }
    SECTION("by another whose answer was lost") {
        h.rules().opening_sent(h.rules().begins("till"));
        CHECK_NOTHROW(h.rules().fenced(h.till));
    }
    SECTION("by another whose answer was lost with a broker that died before it came back") {
        h.rules().opening_sent(h.rules().begins("till"));
        h.judge.broker_crashed();
        CHECK_NOTHROW(h.rules().fenced(h.till));
        h.come_back(h.till, 2);
        CHECK_THROWS_AS(h.rules().fenced(h.till), violation);
    }
    SECTION("by one of another name") {
        h.rules().opening_sent(h.rules().begins("other"));
        CHECK_THROWS_AS(h.rules().fenced(h.till), violation);
    }
}

TEST_CASE("what must be refused is not stored") {
    history h;
    SECTION("of a named producer") {
        const auto bad = h.send(h.till), good = h.send(h.till);
        h.rules().must_be_refused(bad);
        CHECK_THROWS_AS(h.see(bad, 0), violation);
        CHECK_NOTHROW(h.see(good, 1));
    }
    SECTION("of anybody") {
        const auto bad = h.judge.publish("orders", 20), good = h.judge.publish("orders", 20);
        h.rules().must_be_refused(bad);
        CHECK_THROWS_AS(h.see(bad, 0), violation);
        CHECK_NOTHROW(h.see(good, 1));
    }
}

TEST_CASE("who only looks sees what was sent, in its one place") {
    history h;
    const auto a = h.judge.publish("orders", 20), b = h.judge.publish("orders", 20);
    h.judge.publish_answered(the_topic, 0, {0}, {a});
    CHECK_THROWS_AS(h.see(b, 0), violation);
    CHECK_THROWS_AS(h.judge.seen(the_topic, {0, {1}, 1, "7:nobody sent this"}), violation);
    CHECK_NOTHROW(h.see(a, 0));
    CHECK_NOTHROW(h.see(b, 1));
}

}  // namespace
}  // namespace millrace::sim
