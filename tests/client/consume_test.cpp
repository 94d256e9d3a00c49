#include <catch2/catch.hpp>

#include "tests/client/scripted_broker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

constexpr std::uint64_t opening = 1;

consumer_number subscribe(scripted_broker& broker, subscribe_options options = {}) {
    broker.greet();
    const auto number = broker.m.subscribe(ticket{opening}, "photos", "resize", options);
    broker.turn();
    broker.answer_with(wire::Message::Subscribe, wire::CreateSubscribed(broker.builder(), 5, 1, 30'000));
    return number;
}

std::vector<message> numbered(std::uint64_t first, std::size_t count) {
    std::vector<message> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back({"k", {{"h", "v"}}, "payload " + std::to_string(first + i)});
    return out;
}

std::vector<lease_range> ranges_of(const sent_frame& f) {
    std::vector<lease_range> out;
    for (const auto* r : *f.head().message_as_Ack()->ranges()) out.push_back({r->partition(), r->attempt(), {r->first()}, {r->last()}});
    return out;
}

}  // namespace

TEST_CASE("a consumer asks with its credit and gets what is delivered, as it was sent") {
    scripted_broker broker;
    const auto number = subscribe(broker, {.credit_messages = 10, .credit_bytes = 5'000, .name = "worker"});
    CHECK(std::get<subscribed>(broker.only(opening).content).visibility_timeout == 30s);
    broker.deliver(number, 2, 40, numbered(40, 3), 4);
    REQUIRE(broker.deliveries.size() == 3);
    const auto& d = broker.deliveries[1];
    CHECK(d.message == numbered(41, 1)[0]);
    CHECK(d.sequence.value == 41);
    CHECK(d.partition == 2);
    CHECK(d.attempt == 4);
    CHECK(d.appended_at == timestamp(1s));
}

TEST_CASE("acks of a turn go out as ranges, at most two are unanswered, the rest gathers") {
    scripted_broker broker;
    const auto number = subscribe(broker);
    broker.deliver(number, 0, 0, numbered(0, 10));
    for (const auto i : {3u, 1u, 2u, 7u}) broker.m.ack(number, broker.deliveries[i]);
    broker.turn();
    REQUIRE(broker.count(wire::Message::Ack) == 1);
    CHECK(ranges_of(broker.sent.back()) == std::vector<lease_range>{{0, 1, {1}, {3}}, {0, 1, {7}, {7}}});
    for (const auto i : {0u, 4u, 5u}) {
        broker.m.ack(number, broker.deliveries[i]);
        broker.turn();
    }
    CHECK(broker.count(wire::Message::Ack) == 2);
    broker.acked();
    REQUIRE(broker.count(wire::Message::Ack) == 2);
    CHECK(ranges_of(broker.sent.back()) == std::vector<lease_range>{{0, 1, {4}, {5}}});
}

TEST_CASE("an ack counts once") {
    scripted_broker broker;
    const auto number = subscribe(broker, {.credit_messages = 4});
    broker.deliver(number, 0, 0, numbered(0, 2));
    for (int i = 0; i < 5; ++i) broker.m.ack(number, broker.deliveries[0]);
    broker.turn();
    CHECK(ranges_of(broker.take(wire::Message::Ack)) == std::vector<lease_range>{{0, 1, {0}, {0}}});
    CHECK(broker.count(wire::Message::Credit) == 0);
    broker.m.ack(number, broker.deliveries[0]);
    broker.turn();
    CHECK(broker.count(wire::Message::Ack) == 0);
}

TEST_CASE("credit comes back when it doubles what the broker has left, in the messages and bytes that were settled") {
    scripted_broker broker;
    const auto number = subscribe(broker, {.credit_messages = 16, .credit_bytes = 1u << 20});
    broker.deliver(number, 0, 0, numbered(0, 8));
    const auto record = records_of(numbered(0, 1)).size();
    for (std::size_t i = 0; i < 7; ++i) broker.m.ack(number, broker.deliveries[i]);
    broker.turn();
    CHECK(broker.count(wire::Message::Credit) == 0);
    broker.m.ack(number, broker.deliveries[7]);
    broker.turn();
    const auto credit = broker.take(wire::Message::Credit);
    CHECK(credit.id() == 0);
    CHECK(credit.head().message_as_Credit()->messages() == 8);
    CHECK(credit.head().message_as_Credit()->bytes() == 8 * record);
    // Also without an ack: what is set aside stays leased but makes room.
    broker.deliver(number, 0, 8, numbered(8, 8));
    for (std::size_t i = 8; i < 16; ++i) broker.m.set_aside(number, broker.deliveries[i]);
    broker.turn();
    CHECK(broker.take(wire::Message::Credit).head().message_as_Credit()->messages() == 8);
    broker.acked();
    broker.acked();
    broker.m.ack(number, broker.deliveries[15]);
    broker.turn();
    CHECK(broker.count(wire::Message::Ack) == 0);
}

TEST_CASE("a consumer that keeps most of its messages for long gets others in the place of those that it settles") {
    scripted_broker broker;
    const auto number = subscribe(broker, {.credit_messages = 16, .credit_bytes = 1u << 20});
    broker.deliver(number, 0, 0, numbered(0, 16));
    for (std::size_t i = 0; i < 40; i += 2) {
        broker.m.ack(number, broker.deliveries[12 + i]);
        broker.turn();
        CHECK(broker.count(wire::Message::Credit) == 0);  // an eighth of the window goes at once
        broker.m.ack(number, broker.deliveries[12 + i + 1]);
        broker.turn();
        CHECK(broker.take(wire::Message::Credit).head().message_as_Credit()->messages() == 2);
        broker.deliver(number, 0, 16 + i, numbered(16 + i, 2));
        while (broker.count(wire::Message::Ack) > 0) broker.acked();
    }
}

TEST_CASE("a message that goes beyond the window in bytes is settled before others come") {
    scripted_broker broker;
    const auto number = subscribe(broker, {.credit_messages = 100, .credit_bytes = 8'000});
    broker.deliver(number, 0, 0, {{"", {}, std::string(2'000, 'x')}, {"", {}, std::string(9'000, 'x')}});
    broker.m.ack(number, broker.deliveries[0]);  // what is free now fills up what the other one has overdrawn
    broker.turn();
    CHECK(broker.count(wire::Message::Credit) == 0);
    broker.m.ack(number, broker.deliveries[1]);
    broker.turn();
    const auto credit = broker.take(wire::Message::Credit);
    CHECK(credit.head().message_as_Credit()->messages() == 2);
    CHECK(credit.head().message_as_Credit()->bytes() == records_of({{"", {}, std::string(2'000, 'x')}, {"", {}, std::string(9'000, 'x')}}).size());
}

TEST_CASE("a window in bytes is no larger than what a broker keeps") {
    scripted_broker broker;
    broker.greet();
    broker.m.subscribe(ticket{opening}, "photos", "resize", {.credit_messages = 100, .credit_bytes = ~std::uint64_t{0}});
    broker.turn();
    CHECK(broker.take(wire::Message::Subscribe).head().message_as_Subscribe()->bytes() == limits::credit_bytes);
}

TEST_CASE("credit in bytes alone is enough, so that large messages keep flowing") {
    scripted_broker broker;
    const auto number = subscribe(broker, {.credit_messages = 1'000, .credit_bytes = 1'000});
    broker.deliver(number, 0, 0, {{"", {}, std::string(5'000, 'x')}});
    broker.m.ack(number, broker.deliveries[0]);
    broker.turn();
    CHECK(broker.take(wire::Message::Credit).head().message_as_Credit()->messages() == 1);
}

TEST_CASE("a broker that delivers over the credit loses the connection") {
    scripted_broker broker;
    const auto number = subscribe(broker, {.credit_messages = 4});
    broker.deliver(number, 0, 0, numbered(0, 3));
    broker.deliver(number, 0, 3, numbered(3, 2));
    REQUIRE(broker.endings.size() == 1);
    CHECK(broker.endings[0].code == errc::credit_exceeded);
    CHECK(broker.deliveries.size() == 3);
}

TEST_CASE("settling completes with the answer to every ack before it, and says which were lost") {
    scripted_broker broker;
    const auto number = subscribe(broker);
    broker.deliver(number, 0, 0, numbered(0, 10));
    broker.m.settle(ticket{10}, number);
    broker.turn();
    CHECK_FALSE(broker.only(10).refused);  // nothing to wait for
    broker.m.ack(number, broker.deliveries[0]);
    broker.m.settle(ticket{11}, number);
    broker.turn();
    broker.m.ack(number, broker.deliveries[1]);
    broker.turn();
    broker.m.settle(ticket{12}, number);
    broker.m.ack(number, broker.deliveries[2]);
    broker.turn();
    CHECK(broker.done.count(11) == 0);
    broker.acked({wire::LeaseRange(0, 0, 0, 1)});
    CHECK(std::get<settlement>(broker.only(11).content).lost == std::vector<lost_range>{{0, 1, {0}, {0}}});
    CHECK(broker.done.count(12) == 0);
    broker.acked();
    CHECK(std::get<settlement>(broker.only(12).content).lost.empty());
    broker.m.settle(ticket{13}, number);
    broker.turn();
    CHECK(broker.done.count(13) == 0);
    broker.refuse(wire::Message::Ack, errc::outcome_unknown);
    CHECK(broker.only(13).refused.code == errc::outcome_unknown);
}

TEST_CASE("an ack that is not answered in time ends what waits for it, and nothing else") {
    machine_settings impatient;
    impatient.request_timeout = 5s;
    scripted_broker broker(impatient);
    broker.greet({.idle_timeout = 0});
    const auto number = broker.m.subscribe(ticket{opening}, "photos", "resize", {});
    broker.turn();
    broker.answer_with(wire::Message::Subscribe, wire::CreateSubscribed(broker.builder(), 5, 1, 30'000));
    broker.deliver(number, 0, 0, numbered(0, 10));
    for (const std::uint64_t operation : {10u, 11u}) {
        broker.m.ack(number, broker.deliveries[operation - 10]);
        broker.turn();
        broker.m.settle(ticket{operation}, number);
        broker.pass(3s);
    }
    REQUIRE(broker.done.count(10) == 1);
    CHECK(broker.only(10).refused.code == errc::timed_out);
    CHECK(broker.done.count(11) == 0);
    broker.pass(2s);
    REQUIRE(broker.done.count(11) == 1);
    CHECK(broker.only(11).refused.code == errc::timed_out);
    CHECK(broker.only(10).refused.code == errc::timed_out);
}

TEST_CASE("a settle that follows a later answered ack waits for the earlier one") {
    scripted_broker broker;
    const auto number = subscribe(broker);
    broker.deliver(number, 0, 0, numbered(0, 10));
    broker.m.ack(number, broker.deliveries[0]);
    broker.turn();
    broker.m.ack(number, broker.deliveries[5]);
    broker.m.settle(ticket{10}, number);
    broker.turn();
    const auto first = broker.take(wire::Message::Ack);
    broker.acked();
    CHECK(broker.done.count(10) == 0);
    broker.sent.push_front(first);
    broker.acked();
    CHECK_FALSE(broker.only(10).refused);
}

TEST_CASE("a settle tells of what was handed in before it, whichever answer comes first") {
    scripted_broker broker;
    const auto number = subscribe(broker);
    broker.deliver(number, 0, 0, numbered(0, 10));
    for (const auto i : {0u, 1u}) {
        broker.m.ack(number, broker.deliveries[i]);
        broker.m.settle(ticket{10 + i}, number);
        broker.turn();
    }
    const auto first = broker.take(wire::Message::Ack);
    SECTION("what is lost") {
        broker.acked({wire::LeaseRange(1, 1, 0, 1)});
        broker.sent.push_front(first);
        broker.acked();
        CHECK(std::get<settlement>(broker.only(10).content).lost.empty());
        CHECK(std::get<settlement>(broker.only(11).content).lost == std::vector<lost_range>{{0, 1, {1}, {1}}});
    }
    SECTION("what is refused") {
        broker.refuse(wire::Message::Ack, errc::outcome_unknown);
        broker.sent.push_front(first);
        broker.acked();
        CHECK_FALSE(broker.only(10).refused);
        CHECK(broker.only(11).refused.code == errc::outcome_unknown);
    }
}

TEST_CASE("closing a consumer sends its acks first, ignores what still comes, and then forgets it") {
    scripted_broker broker;
    const auto number = subscribe(broker);
    broker.deliver(number, 0, 0, numbered(0, 10));
    broker.m.ack(number, broker.deliveries[0]);
    broker.m.settle(ticket{10}, number);
    broker.m.unsubscribe(ticket{11}, number);
    broker.m.ack(number, broker.deliveries[1]);
    broker.turn();
    REQUIRE(broker.sent.size() == 2);
    CHECK(broker.sent[0].kind() == wire::Message::Ack);
    CHECK(broker.sent[1].kind() == wire::Message::Unsubscribe);
    broker.deliver(number, 0, 10, numbered(10, 5));
    CHECK(broker.deliveries.size() == 10);
    broker.answer_with(wire::Message::Unsubscribe, wire::CreateOk(broker.builder()));
    CHECK_FALSE(broker.only(11).refused);
    CHECK(broker.done.count(10) == 0);
    broker.acked();
    CHECK_FALSE(broker.only(10).refused);
    broker.m.unsubscribe(ticket{12}, number);
    broker.turn();
    CHECK(broker.only(12).refused.code == errc::no_such_consumer);
}

TEST_CASE("a consumer that the broker ends says why, and so does what waited for it") {
    scripted_broker broker;
    const auto number = subscribe(broker);
    broker.deliver(number, 0, 0, numbered(0, 3));
    for (const auto i : {0u, 1u, 2u}) {
        broker.m.ack(number, broker.deliveries[i]);
        broker.turn();
    }
    broker.m.settle(ticket{10}, number);  // for the third, which is not sent yet
    auto& b = broker.builder();
    broker.push(wire::CreateConsumerEnded(b, static_cast<std::uint32_t>(number), static_cast<std::uint16_t>(errc::no_such_subscription), b.CreateString("deleted")));
    REQUIRE(broker.ended_consumers.size() == 1);
    CHECK(broker.ended_consumers[0].reason == error{errc::no_such_subscription, "deleted"});
    CHECK(broker.only(10).refused.code == errc::no_such_subscription);
    CHECK(broker.endings.empty());
    broker.acked();
    broker.acked();
    CHECK(broker.endings.empty());
}

TEST_CASE("a damaged record ends the connection and names itself") {
    scripted_broker broker;
    const auto number = subscribe(broker);
    auto body = records_of(numbered(7, 1));
    body[body.size() - 9] ^= std::byte{1};
    const std::vector<wire::Run> runs{wire::Run(7, 0, 3, 1, static_cast<std::uint32_t>(body.size()), 1)};
    broker.push(wire::CreateDeliverDirect(broker.builder(), static_cast<std::uint32_t>(number), &runs), body);
    REQUIRE(broker.endings.size() == 1);
    CHECK(broker.endings[0].code == errc::checksum_mismatch);
    CHECK(broker.endings[0].what.find("partition 3 sequence 7") != std::string::npos);
    CHECK(broker.ended_consumers.size() == 1);
}

TEST_CASE("runs that do not fit their body are malformed") {
    const auto lie = GENERATE(0, 1, 2, 3);
    scripted_broker broker;
    const auto number = subscribe(broker);
    const auto body = records_of(numbered(0, 2));
    const auto size = static_cast<std::uint32_t>(body.size());
    const std::vector<wire::Run> runs{wire::Run(0, 0, 0, lie == 0 ? 3 : lie == 1 ? 1 : 2, lie == 2 ? size + 8 : lie == 3 ? size / 2 : size, 1)};
    broker.push(wire::CreateDeliverDirect(broker.builder(), static_cast<std::uint32_t>(number), &runs), body);
    REQUIRE(broker.endings.size() == 1);
    CHECK(broker.endings[0].code == errc::malformed_frame);
    CHECK(broker.deliveries.empty());
}

TEST_CASE("a subscribe that timed out leaves no consumer behind") {
    scripted_broker broker;
    broker.greet({.idle_timeout = 0});
    broker.m.subscribe(ticket{opening}, "photos", "resize", {});
    broker.pass(30s);
    CHECK(broker.only(opening).refused.code == errc::timed_out);
    broker.answer_with(wire::Message::Subscribe, wire::CreateSubscribed(broker.builder(), 5, 1, 30'000));
    CHECK(broker.count(wire::Message::Unsubscribe) == 1);
    broker.answer_with(wire::Message::Unsubscribe, wire::CreateOk(broker.builder()));
    CHECK(broker.done.at(opening).size() == 1);
    CHECK(broker.ended_consumers.empty());
}
