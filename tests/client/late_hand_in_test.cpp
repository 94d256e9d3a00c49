// What is handed in, or arrives, when the connection that it came by is gone.
#include <catch2/catch.hpp>

#include "tests/client/returning_consumer.hpp"

using namespace millrace;
using namespace millrace::client;

TEST_CASE("what is handed in after the connection that it came by is gone is named by the settlement, however it is handed in") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 10, some(5), 3);
    const auto& d = broker.deliveries;
    broker.cut();
    SECTION("before the next one is there") {
        broker.m.ack(first, d[0]);
        broker.m.ack(first, d[1]);
        broker.m.settle(ticket{2}, first);
        broker.turn();
        CHECK(lost_of(broker, 2) == std::vector<lost_range>{{0, 3, {10}, {11}}});
    }
    SECTION("after") {
        broker.greet();
        broker.subscribed();
        broker.m.ack(first, d[0]);
        broker.m.nack(first, d[1], "no");
        broker.m.reject(first, d[2], "never");
        broker.m.release(first, d[4]);
        broker.m.settle(ticket{2}, first);
        broker.turn();
        CHECK(lost_of(broker, 2) == std::vector<lost_range>{{0, 3, {10}, {12}}, {0, 3, {14}, {14}}});
        CHECK(broker.sent.empty());
    }
    broker.m.settle(ticket{3}, first);
    broker.turn();
    CHECK(lost_of(broker, 3).empty());  // it is named once
}

TEST_CASE("a settlement that was asked for before does not take the losses of the next one") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(2));
    broker.cut();
    broker.greet();
    broker.subscribed();
    broker.deliver(first, 0, 5, some(1));
    broker.m.ack(first, broker.deliveries[2]);
    broker.m.settle(ticket{2}, first);
    broker.turn();
    for (const auto i : {0u, 1u}) broker.m.ack(first, broker.deliveries[i]);
    broker.m.settle(ticket{3}, first);
    broker.turn();
    CHECK(broker.done.count(3) == 0);  // what was handed in before it is not answered
    broker.acked();
    CHECK(lost_of(broker, 2).empty());
    CHECK(lost_of(broker, 3) == std::vector<lost_range>{{0, 1, {0}, {1}}});
}

TEST_CASE("a message that comes again, with the same attempt, is not what came before") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(1));
    broker.cut();
    broker.greet();
    broker.subscribed();
    broker.deliver(first, 0, 0, some(1));
    const auto before = broker.deliveries.at(0), again = broker.deliveries.at(1);
    CHECK_FALSE(broker.m.start(first, before));
    broker.m.set_aside(first, before);
    broker.m.ack(first, before);
    broker.m.settle(ticket{2}, first);
    broker.turn();
    CHECK(broker.count(wire::Message::Ack) == 0);
    CHECK(lost_of(broker, 2) == std::vector<lost_range>{{0, 1, {0}, {0}}});
    CHECK(broker.m.start(first, again));
    broker.m.extend(ticket{3}, first, before);
    broker.turn();
    CHECK(broker.only(3).refused.code == errc::lease_lost);
    broker.m.ack(first, again);
    broker.turn();
    REQUIRE(broker.count(wire::Message::Ack) == 1);
    CHECK(acked_by(broker.sent.back()) == ranges{{0, 1, {0}, {0}}});
}

TEST_CASE("what was started and lost while the connection was away is named again when it is handed in, and what comes in its place is not it") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(2));
    for (const auto i : {0u, 1u}) broker.m.start(first, broker.deliveries[i]);
    broker.turn();
    broker.cut();
    broker.greet();
    broker.subscribed({wire::LeaseRange(0, 0, 0, 1)});
    broker.deliver(first, 0, 0, some(1));
    for (const auto i : {0u, 1u}) broker.m.ack(first, broker.deliveries[i]);
    broker.m.settle(ticket{2}, first);
    broker.turn();
    REQUIRE(broker.count(wire::Message::Ack) == 1);
    CHECK(acked_by(broker.sent.front()) == ranges{{0, 1, {1}, {1}}});
    broker.acked();
    CHECK(lost_of(broker, 2) == std::vector<lost_range>{{0, 1, {0}, {0}}});
}

TEST_CASE("what the connection's last bytes brought is not handed on: it comes again") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.m.ask(ticket{2}, list_topics{});
    broker.turn();
    broker.last_words(first, 0, 0, some(3), errc::outcome_unknown);
    CHECK(broker.interrupted == std::vector{first});
    CHECK(broker.deliveries.empty());
    CHECK(broker.only(2).refused.code == errc::outcome_unknown);  // other events stay
    broker.greet();
    broker.subscribed();
    broker.deliver(first, 0, 0, some(3));
    CHECK(broker.deliveries.size() == 3);
}
