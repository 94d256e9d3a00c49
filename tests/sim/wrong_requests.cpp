#include "tests/sim/wrong_requests.hpp"

#include <algorithm>
#include <vector>

#include "proto/record.hpp"

namespace millrace::sim {
namespace {

constexpr const char* nowhere = "no-such-topic";
constexpr const char* bad_name = "a name with spaces";
constexpr std::uint32_t no_consumer = 4'000'000'000;

/// A full disk may come first.
wire_client::answered expects(errc wanted, bool room_matters = false) {
    return [wanted, room_matters](const proto::frame& f) {
        const auto* failed = f.head->message_as_Failed();
        const auto code = failed ? static_cast<errc>(failed->code()) : errc::ok;
        if (code == wanted || (room_matters && code == errc::disk_full)) return;
        throw violation(std::string("a wrong request was answered with ") + name_of(code) + ", not " + name_of(wanted));
    };
}

std::vector<std::byte> one_record() {
    std::vector<std::byte> records;
    proto::record_encoder encoder;
    encoder.append({{}, {}, "0:nobody is to see this"}, proto::compression::none, records);
    return records;
}

void publish_wrongly(surroundings& around, wire_client& by) {
    if (around.known.topics.empty()) return;
    const auto& topic = around.known.topics.begin()->second;  // "dead": never deleted
    auto records = one_record();
    const auto send = [&](std::uint32_t id, std::uint32_t partition, std::uint32_t count, wire::Durability least, std::uint64_t producer, errc wanted) {
        by.ask_with(records, [&](auto& b) { return wire::CreatePublish(b, id, partition, count, least, producer, producer, producer); }, expects(wanted, true));
    };
    if (!topic.stays) return;
    switch (around.random.below(7)) {
        case 0: return send(topic.id, 1'000, 1, wire::Durability::memory, 0, errc::no_such_partition);
        case 1: return send(topic.id, 0, 1, wire::Durability::replicated, 0, errc::durability_unavailable);
        case 2: return send(topic.id, 0, 1, wire::Durability::memory, 1'000'000, errc::no_such_producer);
        case 3: records.back() ^= std::byte{1}; return send(topic.id, 0, 1, wire::Durability::memory, 0, errc::checksum_mismatch);
        case 4: records.resize(records.size() - 8); return send(topic.id, 0, 1, wire::Durability::memory, 0, errc::malformed_record);
        case 5: return send(topic.id, 0, limits::batch_messages + 1, wire::Durability::memory, 0, errc::batch_too_large);
        default: return send(topic.id, 0, 0, wire::Durability::memory, 0, errc::invalid_argument);
    }
}

void configure_wrongly(surroundings& around, wire_client& by) {
    switch (around.random.below(13)) {
        case 0: return by.ask([](auto& b) { return wire::CreateCreateTopic(b, b.CreateString(bad_name)); }, expects(errc::invalid_name, true));
        case 1: return by.ask([](auto& b) { return wire::CreateUpdateTopic(b, b.CreateString(nowhere)); }, expects(errc::no_such_topic));
        case 2: return by.ask([](auto& b) { return wire::CreateDescribeTopicDirect(b, nowhere); }, expects(errc::no_such_topic));
        case 3: return by.ask([](auto& b) { return wire::CreateDeleteTopicDirect(b, nowhere); }, expects(errc::no_such_topic));
        case 4: return by.ask([](auto& b) { return wire::CreatePurgeTopicDirect(b, nowhere); }, expects(errc::no_such_topic));
        case 5: return by.ask([](auto& b) { return wire::CreateDescribeSubscription(b, b.CreateString(nowhere), b.CreateString("x")); }, expects(errc::no_such_topic));
        case 6: return by.ask([](auto& b) { return wire::CreateDescribeSubscription(b, b.CreateString("dead"), b.CreateString("x")); }, expects(errc::no_such_subscription));
        case 7: return by.ask([](auto& b) { return wire::CreateDeleteSubscriptionDirect(b, "dead", "x"); }, expects(errc::no_such_subscription));
        case 8: return by.ask([](auto& b) { return wire::CreateDeleteSubscriptionDirect(b, nowhere, "x"); }, expects(errc::no_such_topic));
        case 9: return by.ask([](auto& b) { return wire::CreateListTopics(b, b.CreateString("")); }, expects(errc::ok));
        case 10: return by.ask([](auto& b) { return wire::CreateListSubscriptions(b, b.CreateString("dead")); }, expects(errc::ok));
        case 11: return by.ask([](auto& b) { return wire::CreateCreateSubscription(b, b.CreateString(nowhere), b.CreateString("x")); }, expects(errc::no_such_topic, true));
        default: return by.ask([](auto& b) { return wire::CreateListSubscriptions(b, b.CreateString(nowhere)); }, expects(errc::no_such_topic));
    }
}

void consume_wrongly(surroundings& around, wire_client& by) {
    const std::vector<wire::LeaseRange> some{wire::LeaseRange(0, 0, 0, 1)};
    switch (around.random.below(9)) {
        case 0: return by.ask([&](auto& b) { return wire::CreateAckDirect(b, no_consumer, &some); }, expects(errc::no_such_consumer));
        case 1: return by.ask([&](auto& b) { return wire::CreateNackDirect(b, no_consumer, &some, "no"); }, expects(errc::no_such_consumer));
        case 2: return by.ask([&](auto& b) { return wire::CreateRejectDirect(b, no_consumer, &some, "no"); }, expects(errc::no_such_consumer));
        case 3: return by.ask([&](auto& b) { return wire::CreateExtendDirect(b, no_consumer, &some); }, expects(errc::no_such_consumer));
        case 4: return by.ask([](auto& b) { return wire::CreateUnsubscribe(b, no_consumer); }, expects(errc::no_such_consumer));
        case 5: return by.ask([](auto& b) { return wire::CreateSubscribeDirect(b, no_consumer, nowhere, "x", 1, 1); }, expects(errc::no_such_topic));
        case 6: return by.ask([](auto& b) { return wire::CreatePeekDirect(b, nowhere, 0, 0, 1, 1); }, expects(errc::no_such_topic));
        case 7: return by.ask([](auto& b) { return wire::CreatePeekDirect(b, "dead", 1'000, 0, 1, 1); }, expects(errc::no_such_partition));
        default: return by.ask([](auto& b) { return wire::CreateOpenProducer(b, b.CreateString(bad_name)); }, expects(errc::invalid_name));
    }
}

}  // namespace

void ask_wrongly(surroundings& around, wire_client& by) {
    if (!around.known.topics.contains("dead")) return;
    switch (around.random.below(3)) {
        case 0: return publish_wrongly(around, by);
        case 1: return configure_wrongly(around, by);
        default: return consume_wrongly(around, by);
    }
}

}  // namespace millrace::sim
