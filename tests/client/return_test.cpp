// A lost connection that comes back: what is asked again, what goes on, what is dropped.
#include <catch2/catch.hpp>

#include <functional>
#include <set>

#include "tests/client/returning_consumer.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

ranges held_of(const sent_frame& f) {
    ranges out;
    if (const auto* held = f.head().message_as_Subscribe()->held())
        for (const auto* r : *held) out.push_back({r->partition(), r->attempt(), {r->first()}, {r->last()}});
    return out;
}

}  // namespace

TEST_CASE("without reconnecting, and before the first welcome, a lost connection is the end") {
    scripted_broker never, early(returning());
    never.greet();
    never.cut();
    CHECK(never.m.is_over());
    early.m.connected(early.now);
    early.turn();
    early.cut();
    CHECK(early.m.is_over());
}

TEST_CASE("what ended with the connection does not end again when its time is over") {
    scripted_broker broker;
    broker.greet();
    broker.m.ask(ticket{1}, list_topics{});
    broker.turn();
    broker.cut();
    REQUIRE(broker.m.is_over());
    broker.pass(1h);
    REQUIRE(broker.done.at(1).size() == 1);
    CHECK(broker.only(1).refused.code == errc::connection_lost);
}

TEST_CASE("a reason that would repeat itself is the end") {
    for (const auto code : {errc::malformed_frame, errc::unsupported_version, errc::canceled, errc::credit_exceeded}) {
        scripted_broker broker(returning());
        broker.greet();
        broker.m.lost({code, {}});
        broker.turn();
        CHECK(broker.m.is_over());
        CHECK(broker.endings.size() == 1);
    }
    scripted_broker broker(returning());
    broker.greet();
    broker.goodbye(errc::shutting_down, "draining");
    CHECK_FALSE(broker.m.is_over());
    CHECK_FALSE(broker.m.is_connected());
}

TEST_CASE("pauses double from the least to the longest, shortened by up to half, and begin anew after a welcome") {
    auto settings = returning();
    settings.pause_min = 100ms;
    settings.pause_max = 1s;
    scripted_broker broker(settings);
    broker.greet();
    broker.cut();
    for (const auto whole : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
        const auto pause = broker.m.next_pause();
        CHECK(pause <= whole);
        CHECK(pause >= whole / 2);
        broker.m.lost({});
    }
    broker.greet();
    broker.cut();
    CHECK(broker.m.next_pause() <= 100ms);
}

TEST_CASE("who wants no pauses gets none") {
    auto settings = returning();
    settings.pause_min = settings.pause_max = 0ms;
    scripted_broker broker(settings);
    broker.greet();
    broker.cut();
    for (int i = 0; i < 3; ++i) CHECK(broker.m.next_pause() == 0ms);
}

TEST_CASE("clients that lose the same broker do not all come back at once") {
    auto settings = returning();
    std::set<client::duration> pauses;
    for (settings.incarnation = 1; settings.incarnation <= 10; ++settings.incarnation) {
        scripted_broker broker(settings);
        broker.greet();
        broker.cut();
        pauses.insert(broker.m.next_pause());
    }
    CHECK(pauses.size() == 10);
}

TEST_CASE("who has started something comes back soon, however long the broker is away") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(2));
    const auto longest_pause = [&] {
        client::duration longest{};
        for (int i = 0; i < 20; ++i) longest = std::max(longest, broker.m.next_pause());
        return longest;
    };
    SECTION("nothing started") {
        broker.cut();
        CHECK(longest_pause() > 2s);
    }
    SECTION("a message is being worked on") {
        broker.m.start(first, broker.deliveries[0]);
        broker.cut();
        CHECK(longest_pause() <= 500ms);
    }
    SECTION("an ack is not answered") {
        broker.m.ack(first, broker.deliveries[0]);
        broker.turn();
        broker.cut();
        CHECK(longest_pause() <= 500ms);
    }
}

TEST_CASE("the hello of a client that comes back shows the session that it had") {
    scripted_broker broker(returning());
    const auto hello_shows = [&](std::uint64_t session, std::uint64_t key) {
        broker.m.connected(broker.now);
        broker.turn();
        const auto hello = broker.take(wire::Message::Hello);
        CHECK(hello.head().message_as_Hello()->former_session() == session);
        CHECK(hello.head().message_as_Hello()->former_key() == key);
        broker.cut();
    };
    broker.greet({.session = 7, .session_key = 99});
    broker.cut();
    hello_shows(7, 99);
    hello_shows(7, 99);  // it was not welcomed in between
    broker.greet({.session = 8, .session_key = 100});
    broker.cut();
    hello_shows(8, 100);
    broker.greet({.session = 9});
    broker.cut();
    hello_shows(9, 0);  // of a broker that ends no session for another
}

TEST_CASE("single requests end with the connection, new ones are refused until it is back") {
    scripted_broker broker(returning());
    broker.greet();
    broker.m.ask(ticket{1}, list_topics{});
    broker.m.subscribe(ticket{2}, "photos", "resize", {});
    broker.turn();
    broker.cut();
    CHECK(broker.only(1).refused.code == errc::connection_lost);
    CHECK(broker.only(2).refused.code == errc::connection_lost);
    broker.m.ask(ticket{3}, list_topics{});
    broker.turn();
    CHECK(broker.only(3).refused.code == errc::connection_lost);
    broker.greet();
    CHECK(broker.welcomes == 2);
    CHECK(broker.sent.empty());
    broker.m.ask(ticket{4}, list_topics{});
    broker.turn();
    broker.answer_with(wire::Message::ListTopics, wire::CreateTopics(broker.builder()));
    CHECK_FALSE(broker.only(4).refused);
}

TEST_CASE("publishes go on in their order, the unanswered ones again") {
    const auto resends = GENERATE(true, false);
    scripted_broker broker(returning(resends));
    broker.greet({.publish_messages = 4});
    broker.m.publish(ticket{1}, "photos", {"", {}, "parked"});
    broker.turn();
    broker.know_topic("photos", 5, 1);
    for (std::uint64_t i = 2; i < 9; ++i) {
        broker.m.publish(ticket{i}, "photos", {"", {}, std::to_string(i)});
        broker.turn();
    }
    broker.publish_done(0);  // ticket 1
    CHECK(broker.only(1).at.value == 0);
    const auto under_way = broker.count(wire::Message::Publish);
    CHECK(under_way >= 1);
    broker.cut();
    broker.m.publish(ticket{9}, "photos", {"", {}, "9"});
    broker.turn();
    CHECK(broker.done.count(8) == 0);
    CHECK(broker.done.count(9) == 0);
    broker.greet({.publish_messages = 1000});
    CHECK(broker.count(wire::Message::Publish) == 0);  // ids are looked up again
    broker.know_topic("photos", 6, 1);
    std::vector<std::string> arrived;
    std::uint64_t next = 100;
    while (broker.count(wire::Message::Publish) > 0) {
        const auto f = broker.take(wire::Message::Publish);
        CHECK(f.head().message_as_Publish()->topic() == 6);
        std::span<const std::byte> rest(f.body);
        const auto count = f.head().message_as_Publish()->count();
        while (!rest.empty()) {
            message m;
            const auto length = proto::record_length(rest);
            REQUIRE(length);
            REQUIRE_FALSE(proto::decode_record(rest.first(*length), m));
            arrived.push_back(m.payload);
            rest = rest.subspan(*length);
        }
        broker.sent.push_front(f);
        broker.publish_done(next);
        next += count;
    }
    REQUIRE_FALSE(arrived.empty());
    CHECK(arrived.back() == "9");
    CHECK(std::is_sorted(arrived.begin(), arrived.end()));
    std::size_t lost = 0;
    for (std::uint64_t i = 2; i < 10; ++i) {
        REQUIRE(broker.done[i].size() == 1);
        if (broker.only(i).refused) {
            CHECK(broker.only(i).refused.code == errc::connection_lost);
            ++lost;
        }
    }
    CHECK((resends ? lost == 0 : lost >= 1));
    CHECK(lost + arrived.size() == 8);
}

TEST_CASE("publishes do not wait for a connection longer than the request timeout") {
    scripted_broker broker(returning());
    broker.greet();
    broker.cut();
    broker.m.publish(ticket{1}, "photos", {});
    broker.turn();
    CHECK(broker.m.next_deadline() == broker.now + 30s);
    broker.pass(29s);
    CHECK(broker.done.count(1) == 0);
    broker.pass(1s);
    CHECK(broker.only(1).refused.code == errc::timed_out);
    CHECK(broker.m.next_deadline() == never);
    CHECK_FALSE(broker.m.is_over());
}

TEST_CASE("a consumer returns with what it started, what it had not started is dropped") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 3, 0, some(5), 2);
    for (const auto i : {1u, 2u, 4u}) broker.m.start(first, broker.deliveries[i]);
    broker.turn();
    broker.cut();
    CHECK(broker.interrupted == std::vector{first});
    broker.m.ack(first, broker.deliveries[0]);  // not its any more
    broker.m.ack(first, broker.deliveries[4]);
    broker.turn();
    broker.greet();
    const auto again = broker.take(wire::Message::Subscribe);
    CHECK(held_of(again) == ranges{{3, 2, {1}, {2}}, {3, 2, {4}, {4}}});
    CHECK(again.head().message_as_Subscribe()->consumer() == 1);
    CHECK(again.head().message_as_Subscribe()->subscription()->str() == "resize");
    CHECK(again.head().message_as_Subscribe()->name()->str() == "worker");
    CHECK(again.head().message_as_Subscribe()->messages() == 6);  // two are in its hands
    CHECK(again.head().message_as_Subscribe()->bytes() == subscribe_options{}.credit_bytes - records_of(some(2)).size());
    CHECK(broker.count(wire::Message::Ack) == 0);                 // not before the lease is its own again
    broker.sent.push_front(again);
    broker.subscribed();
    CHECK(acked_by(broker.sent.front()) == ranges{{3, 2, {4}, {4}}});
    CHECK(broker.leases_gone.empty());
    broker.m.ack(first, broker.deliveries[1]);
    broker.m.settle(ticket{2}, first);
    broker.turn();
    broker.acked();
    broker.acked();
    CHECK_FALSE(broker.only(2).refused);
    CHECK(broker.ended_consumers.empty());
}

TEST_CASE("what was handed in without an answer is handed in again in its way, what is lost is told") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(6));
    const auto& d = broker.deliveries;
    for (const auto i : {3u, 4u}) broker.m.start(first, d[i]);
    broker.m.ack(first, d[0]);
    broker.m.nack(first, d[1], "no");
    broker.m.settle(ticket{2}, first);
    broker.turn();
    broker.cut();
    CHECK(broker.done.count(2) == 0);
    broker.greet();
    CHECK(held_of(broker.sent.front()) == ranges{{0, 1, {0}, {1}}, {0, 1, {3}, {4}}});
    broker.subscribed({wire::LeaseRange(0, 0, 0, 1), wire::LeaseRange(4, 4, 0, 1)});
    CHECK(broker.leases_gone == std::vector<lost_range>{{0, 1, {4}, {4}}});
    CHECK(broker.count(wire::Message::Ack) == 0);
    CHECK(broker.take(wire::Message::Nack).head().message_as_Nack()->reason()->str() == "no");
    broker.cut();
    broker.greet();
    broker.subscribed();
    broker.handed_in(wire::Message::Nack);
    CHECK(std::get<settlement>(broker.only(2).content).lost == std::vector<lost_range>{{0, 1, {0}, {0}}});
    broker.m.extend(ticket{3}, first, d[4]);
    broker.turn();
    CHECK(broker.only(3).refused.code == errc::lease_lost);
}

TEST_CASE("what was handed in otherwise than by an ack is not handed in again where it is lost either") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(4));
    broker.m.nack(first, broker.deliveries[0], "no");
    broker.m.nack(first, broker.deliveries[1], "no");
    broker.m.reject(first, broker.deliveries[2], "never");
    broker.m.release(first, broker.deliveries[3]);
    broker.m.settle(ticket{2}, first);
    broker.turn();
    broker.cut();
    broker.greet();
    broker.subscribed({wire::LeaseRange(1, 3, 0, 1)});
    CHECK(broker.count(wire::Message::Reject) == 0);
    CHECK(broker.count(wire::Message::Release) == 0);
    REQUIRE(broker.count(wire::Message::Nack) == 1);
    const auto& again = *broker.sent.front().head().message_as_Nack()->ranges();
    CHECK((again.size() == 1 && again.Get(0)->first() == 0 && again.Get(0)->last() == 0));
    broker.handed_in(wire::Message::Nack);
    CHECK(std::get<settlement>(broker.only(2).content).lost == std::vector<lost_range>{{0, 1, {1}, {3}}});
}

TEST_CASE("a settlement is complete when everything that waited for it is lost") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(1));
    broker.m.ack(first, broker.deliveries[0]);
    broker.m.settle(ticket{2}, first);
    broker.turn();
    broker.cut();
    broker.greet();
    broker.subscribed({wire::LeaseRange(0, 0, 0, 1)});
    CHECK(std::get<settlement>(broker.only(2).content).lost.size() == 1);
}

TEST_CASE("a consumer whose subscription is gone when it returns ends with the reason") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.cut();
    broker.m.unsubscribe(ticket{2}, first);
    broker.greet();
    broker.refuse(wire::Message::Subscribe, errc::no_such_subscription);
    REQUIRE(broker.ended_consumers.size() == 1);
    CHECK(broker.ended_consumers[0].reason.code == errc::no_such_subscription);
    CHECK(broker.only(2).refused.code == errc::no_such_subscription);
}

TEST_CASE("a consumer that is closed while the connection is away hands in first, then leaves") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(1));
    broker.m.start(first, broker.deliveries[0]);
    broker.turn();
    broker.cut();
    broker.m.ack(first, broker.deliveries[0]);
    broker.m.unsubscribe(ticket{2}, first);
    broker.turn();
    broker.greet();
    broker.subscribed();
    REQUIRE(broker.sent.size() == 2);
    broker.acked();
    broker.answer_with(wire::Message::Unsubscribe, wire::CreateOk(broker.builder()));
    CHECK_FALSE(broker.only(2).refused);
}

TEST_CASE("closing while the connection is away ends everything") {
    scripted_broker broker(returning());
    open_consumer(broker);
    broker.cut();
    broker.m.publish(ticket{2}, "photos", {});
    broker.m.settle(ticket{3}, first);
    broker.m.close();
    broker.turn();
    CHECK(broker.m.is_over());
    CHECK(broker.only(2).refused.code == errc::connection_lost);
    CHECK(broker.done.at(3).size() == 1);
    REQUIRE(broker.endings.size() == 1);
    CHECK_FALSE(broker.endings[0]);
}

TEST_CASE("the connection may go at any step of its return, and again") {
    using step = std::function<void(scripted_broker&)>;
    const std::vector<step> script{
        [](auto& s) { s.greet(); },
        [](auto& s) { if (s.count(wire::Message::Metadata) > 0) s.know_topic("photos", 5, 1); },
        [](auto& s) { s.subscribed(); },
        [](auto& s) { while (s.count(wire::Message::Publish) > 0) s.publish_done(7); },
        [](auto& s) { while (s.count(wire::Message::Ack) > 0) s.acked(); },
    };
    for (std::size_t cut_at = 0; cut_at <= script.size(); ++cut_at) {
        INFO("cut after step " << cut_at);
        scripted_broker broker(returning());
        open_consumer(broker);
        broker.deliver(first, 0, 0, some(3));
        broker.m.start(first, broker.deliveries[0]);
        broker.m.ack(first, broker.deliveries[1]);
        broker.m.settle(ticket{2}, first);
        broker.m.publish(ticket{3}, "photos", {"", {}, "x"});
        broker.turn();
        broker.cut();
        for (std::size_t i = 0; i < cut_at; ++i) script[i](broker);
        broker.cut();
        for (const auto& run : script) run(broker);
        CHECK_FALSE(broker.only(2).refused);
        CHECK_FALSE(broker.only(3).refused);
        CHECK(broker.done.at(2).size() == 1);
        CHECK(broker.done.at(3).size() == 1);
        CHECK(broker.endings.empty());
        broker.m.extend(ticket{4}, first, broker.deliveries[0]);
        broker.turn();
        CHECK(broker.count(wire::Message::Extend) == 1);
    }
}
