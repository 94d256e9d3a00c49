// What a consumer does with messages beyond acking them.
#include <catch2/catch.hpp>

#include "tests/client/scripted_broker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

using ranges = std::vector<lease_range>;

constexpr consumer_number first{1};

void open_consumer(scripted_broker& broker, subscribe_options options = {.credit_messages = 10}) {
    broker.greet();
    broker.m.subscribe(ticket{1}, "photos", "resize", options);
    broker.turn();
    broker.subscribed();
}

std::vector<message> some(std::size_t count) { return std::vector<message>(count, message{"", {}, "x"}); }

template <class Table>
ranges ranges_of(const Table* table) {
    ranges out;
    for (const auto* r : *table->ranges()) out.push_back({r->partition(), r->attempt(), {r->first()}, {r->last()}});
    return out;
}

}  // namespace

TEST_CASE("starts of a turn go out together, unanswered, and once") {
    scripted_broker broker;
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(5));
    for (const auto i : {0u, 1u, 3u, 1u}) broker.m.start(first, broker.deliveries[i]);
    broker.turn();
    const auto start = broker.take(wire::Message::Start);
    CHECK(start.id() == 0);
    CHECK(ranges_of(start.head().message_as_Start()) == ranges{{0, 1, {0}, {1}}, {0, 1, {3}, {3}}});
    broker.m.start(first, broker.deliveries[0]);
    broker.turn();
    CHECK(broker.count(wire::Message::Start) == 0);
}

TEST_CASE("a message that is handed in within the turn it was started in is not started") {
    scripted_broker broker;
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(3));
    for (const auto& d : broker.deliveries) broker.m.start(first, d);
    broker.m.ack(first, broker.deliveries[0]);
    broker.m.nack(first, broker.deliveries[2], "no");
    broker.turn();
    CHECK(ranges_of(broker.take(wire::Message::Start).head().message_as_Start()) == ranges{{0, 1, {1}, {1}}});
    CHECK(broker.count(wire::Message::Ack) == 1);
    CHECK(broker.count(wire::Message::Nack) == 1);
}

TEST_CASE("nacks and rejects go out by reason, releases together, each message in one way only") {
    scripted_broker broker;
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(10));
    const auto& d = broker.deliveries;
    broker.m.nack(first, d[0], "a");
    broker.m.nack(first, d[1], "b");
    broker.m.nack(first, d[2], "a");
    broker.m.reject(first, d[3], "a");
    broker.m.release(first, d[4]);
    broker.m.release(first, d[5]);
    broker.m.ack(first, d[0]);
    broker.turn();
    CHECK(broker.count(wire::Message::Ack) == 0);
    const auto a = broker.take(wire::Message::Nack), b = broker.take(wire::Message::Nack);
    CHECK(a.head().message_as_Nack()->reason()->str() == "a");
    CHECK(ranges_of(a.head().message_as_Nack()) == ranges{{0, 1, {0}, {0}}, {0, 1, {2}, {2}}});
    CHECK(b.head().message_as_Nack()->reason()->str() == "b");
    CHECK(ranges_of(broker.take(wire::Message::Reject).head().message_as_Reject()) == ranges{{0, 1, {3}, {3}}});
    CHECK(ranges_of(broker.take(wire::Message::Release).head().message_as_Release()) == ranges{{0, 1, {4}, {5}}});
    CHECK(broker.take(wire::Message::Credit).head().message_as_Credit()->messages() == 6);
}

TEST_CASE("settling waits for nacks too, and tells what was lost") {
    scripted_broker broker;
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(2));
    broker.m.nack(first, broker.deliveries[0], "no");
    broker.m.ack(first, broker.deliveries[1]);
    broker.m.settle(ticket{2}, first);
    broker.turn();
    broker.acked();
    CHECK(broker.done.count(2) == 0);
    broker.handed_in(wire::Message::Nack, {wire::LeaseRange(0, 0, 0, 1)});
    CHECK(std::get<settlement>(broker.only(2).content).lost == std::vector<lost_range>{{0, 1, {0}, {0}}});
}

TEST_CASE("only a started message is extended, its start goes first") {
    scripted_broker broker;
    open_consumer(broker);
    broker.deliver(first, 0, 0, some(2));
    broker.m.extend(ticket{2}, first, broker.deliveries[0]);
    broker.turn();
    CHECK(broker.only(2).refused.code == errc::lease_lost);
    broker.m.start(first, broker.deliveries[1]);
    broker.m.extend(ticket{3}, first, broker.deliveries[1]);
    broker.turn();
    REQUIRE(broker.sent.size() == 2);
    CHECK(broker.sent[0].kind() == wire::Message::Start);
    broker.handed_in(wire::Message::Extend, {wire::LeaseRange(1, 1, 0, 1)});
    CHECK(std::get<settlement>(broker.only(3).content).lost.size() == 1);
    broker.m.extend(ticket{4}, first, broker.deliveries[1]);
    broker.turn();
    const std::vector<wire::LeaseRange> limited{wire::LeaseRange(0, 0, 0, 1)};
    broker.answer_with(wire::Message::Extend, wire::CreateAckedDirect(broker.builder(), nullptr, &limited));
    CHECK(broker.only(4).refused.code == errc::lease_limit);
}

TEST_CASE("a stopped consumer releases what is not started, and what still comes, and asks for nothing") {
    scripted_broker broker;
    open_consumer(broker, {.credit_messages = 6});
    broker.deliver(first, 0, 0, some(4));
    broker.m.start(first, broker.deliveries[1]);
    broker.m.stop(first);
    broker.turn();
    CHECK(ranges_of(broker.take(wire::Message::Release).head().message_as_Release()) == ranges{{0, 1, {0}, {0}}, {0, 1, {2}, {3}}});
    broker.deliver(first, 0, 4, some(2));
    CHECK(broker.deliveries.size() == 4);
    CHECK(ranges_of(broker.take(wire::Message::Release).head().message_as_Release()) == ranges{{0, 1, {4}, {5}}});
    broker.m.ack(first, broker.deliveries[1]);
    broker.turn();
    CHECK(broker.count(wire::Message::Ack) == 0);  // two requests are unanswered
    CHECK(broker.count(wire::Message::Credit) == 0);
}

TEST_CASE("settings of a subscription go out and come back, an update names only what changes") {
    scripted_broker broker;
    broker.greet();
    broker.m.ask(ticket{1}, update_subscription{"photos", "resize", {.max_deliveries = 3, .dead_letter = ""}});
    broker.turn();
    const auto& asked = broker.sent.front();
    const auto* settings = asked.head().message_as_UpdateSubscription()->settings();
    CHECK_FALSE(settings->visibility_timeout());
    CHECK(*settings->max_deliveries() == 3);
    CHECK(settings->dead_letter()->str().empty());
    auto& b = broker.builder();
    const auto answered = wire::CreateSubscriptionSettingsDirect(b, 30'000, 3, 1'000, 300'000, "dead");
    broker.answer_with(wire::Message::UpdateSubscription, wire::CreateSubscriptionInfoDirect(b, "photos", "resize", 1, 0, answered));
    const auto& d = std::get<subscription_description>(broker.only(1).content);
    CHECK(d.settings.max_deliveries == 3);
    CHECK(d.settings.backoff_min == 1s);
    CHECK(d.settings.backoff_max == 300s);
    CHECK(d.settings.dead_letter == "dead");
}

TEST_CASE("a dead letter tells where it comes from") {
    scripted_broker broker;
    open_consumer(broker);
    const auto record = records_of({{"k", {}, "payload"}});
    std::vector<std::byte> envelope;
    REQUIRE_FALSE(proto::append_envelope({"photos", "resize", 2, {7}, 5, "exit status 1"}, record, envelope));
    const std::vector<wire::Run> runs{wire::Run(0, 0, 0, 1, static_cast<std::uint32_t>(envelope.size()), 1)};
    broker.push(wire::CreateDeliverDirect(broker.builder(), 1, &runs), envelope);
    REQUIRE(broker.deliveries.size() == 1);
    CHECK(broker.deliveries[0].message == message{"k", {}, "payload"});
    REQUIRE(broker.deliveries[0].origin);
    CHECK(*broker.deliveries[0].origin == dead_letter_origin{"photos", "resize", 2, {7}, 5, "exit status 1"});
}

TEST_CASE("no more frames go out at once than a broker takes, however many reasons there are") {
    scripted_broker broker;
    open_consumer(broker, {.credit_messages = 1'000});
    broker.deliver(first, 0, 0, some(1'000));
    for (std::size_t i = 0; i < 1'000; ++i) broker.m.nack(first, broker.deliveries[i], "reason " + std::to_string(i));
    broker.m.settle(ticket{2}, first);
    broker.turn();
    CHECK(broker.count(wire::Message::Nack) < 300);
    std::size_t answered = 0;
    for (; broker.count(wire::Message::Nack) > 0; ++answered) {
        CHECK(broker.done.count(2) == 0);
        broker.handed_in(wire::Message::Nack);
    }
    CHECK(answered == 1'000);
    CHECK_FALSE(broker.only(2).refused);
}
