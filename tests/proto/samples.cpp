#include "samples.hpp"

#include <catch2/catch.hpp>

namespace millrace::proto::samples {
namespace {

using namespace wire;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

constexpr std::int64_t noon = 1'750'000'000'000'000;  // microseconds

std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    while (times-- > 0) all += text;
    return all;
}

// Collects the frames. `make` builds the message with the builder it is given.
class frame_collector {
public:
    template <class Make>
    void add(std::uint64_t id, Make make, const byte_string& body = {}) {
        FlatBufferBuilder builder;
        const auto message = make(builder);
        byte_string bytes;
        append_frame(builder, id, message, body.size(), bytes);
        bytes.insert(bytes.end(), body.begin(), body.end());
        all.push_back({name_of(message), std::move(bytes)});
    }

    std::vector<frame_sample> all;

private:
    template <class Table>
    static std::string name_of(Offset<Table>) {
        return EnumNameMessage(MessageTraits<Table>::enum_value);
    }
};

using B = FlatBufferBuilder&;

std::vector<Offset<flatbuffers::String>> strings(B b, const std::vector<std::string>& from) {
    std::vector<Offset<flatbuffers::String>> to;
    for (const auto& s : from) to.push_back(b.CreateString(s));
    return to;
}

Offset<wire::TopicSettings> topic_settings(B b) {
    return CreateTopicSettings(b, 16, 86'400'000, 10u << 20, 3'600'000, 1u << 30, LimitPolicy::expire);
}

void add_conversation(frame_collector& to) {
    to.add(1, [](B b) { return CreateHelloDirect(b, 1, 2, 5, "secret", "resizer-1", 76, 0x1f2e3d4c5b6a7988); });
    to.add(1, [](B b) {
        return CreateWelcomeDirect(b, 1, 4, "millraced 0.1.0", 77, 3, Durability::disk, 4096, 4u << 20, 16u << 20, 8u << 20, 30'000, 0x8877665544332211);
    });
    to.add(2, [](B b) { return CreatePing(b); });
    to.add(2, [](B b) { return CreatePong(b); });
    to.add(3, [](B b) { return CreateOk(b); });
    to.add(4, [](B b) { return CreateFailedDirect(b, 73, "partition 3 moved", "10.0.0.2:7070"); });
    to.add(0x1122334455667788, [](B b) { return CreateGoodbyeDirect(b, 11, "draining"); });
}

void add_topics(frame_collector& to) {
    to.add(5, [](B b) { const auto names = strings(b, {"photos", "mails"}); return CreateMetadataDirect(b, &names); });
    to.add(5, [](B b) {
        const std::vector<std::uint32_t> owners{0, 1};
        const auto brokers = strings(b, {"", "10.0.0.2:7070"});
        const std::vector places{CreateTopicPlacesDirect(b, "photos", 7, &owners, 52)};
        return CreateMetadataOkDirect(b, 12, &brokers, &places);
    });
    to.add(6, [](B b) { return CreateCreateTopicDirect(b, "photos", topic_settings(b)); });
    to.add(7, [](B b) { return CreateUpdateTopicDirect(b, "photos", topic_settings(b)); });
    to.add(8, [](B b) { return CreateDescribeTopicDirect(b, "photos"); });
    to.add(9, [](B b) { return CreateListTopicsDirect(b, "mails", 100); });
    to.add(9, [](B b) { const auto names = strings(b, {"photos"}); return CreateTopicsDirect(b, &names, true); });
    to.add(10, [](B b) { return CreateDeleteTopicDirect(b, "photos", true); });
    to.add(11, [](B b) { return CreatePurgeTopicDirect(b, "photos"); });
    to.add(6, [](B b) {
        const std::vector partitions{CreatePartitionInfo(b, 10, 20, 30, 4000, 2000)};
        const auto subscriptions = strings(b, {"resize", "scan"});
        return CreateTopicInfoDirect(b, "photos", 7, noon, topic_settings(b), &partitions, &subscriptions);
    });
}

Offset<wire::SubscriptionSettings> subscription_settings(B b) {
    return CreateSubscriptionSettingsDirect(b, 30'000, 5, 1'000, 60'000, "photos.dead");
}

void add_subscriptions(frame_collector& to) {
    to.add(12, [](B b) {
        const auto settings = subscription_settings(b);
        return CreateCreateSubscriptionDirect(b, "photos", "resize", settings, CreateStartFrom(b, StartKind::sequence, 42));
    });
    to.add(13, [](B b) { return CreateDescribeSubscriptionDirect(b, "photos", "resize"); });
    to.add(14, [](B b) { return CreateListSubscriptionsDirect(b, "photos"); });
    to.add(14, [](B b) { const auto names = strings(b, {"resize", "scan"}); return CreateSubscriptionsDirect(b, &names); });
    to.add(15, [](B b) { return CreateDeleteSubscriptionDirect(b, "photos", "resize", true); });
    to.add(12, [](B b) {
        const std::vector partitions{CreateProgressInfo(b, 10, 20, 60, 50, 9, 1, 2, 3, 4, 5, 6, 20)};
        return CreateSubscriptionInfoDirect(b, "photos", "resize", 9, noon, subscription_settings(b), 2, &partitions, "it counts 9 settled messages, and 10 are");
    });
    to.add(24, [](B b) { return CreateUpdateSubscriptionDirect(b, "photos", "resize", subscription_settings(b)); });
}

void add_messages(frame_collector& to) {
    const auto body = encode(records().front().content);
    const std::vector<Run> runs{{100, noon, 3, 1, static_cast<std::uint32_t>(body.size()), 2}};
    to.add(16, [](B b) { return CreatePublish(b, 7, 3, 1, Durability::disk, 11, 2, 33); }, body);
    to.add(16, [](B b) { return CreatePublished(b, 100, Durability::disk); });
    const std::vector<LeaseRange> ranges{{100, 120, 3, 1}, {122, 122, 3, 2}};
    to.add(17, [&](B b) { return CreateSubscribeDirect(b, 1, "photos", "resize", 32, 1u << 20, "worker-1", &ranges); });
    to.add(17, [&](B b) { return CreateSubscribedDirect(b, 7, 9, 30'000, &ranges); });
    to.add(18, [](B b) { return CreateUnsubscribe(b, 1); });
    // Pushes have the id 0 in life; another one here shows where it stands.
    to.add(19, [](B b) { return CreateCredit(b, 1, 16, 1u << 18); });
    to.add(20, [&](B b) { return CreateDeliverDirect(b, 1, &runs); }, body);
    to.add(21, [](B b) { return CreateConsumerEndedDirect(b, 1, 55, "the subscription was deleted"); });
    to.add(22, [&](B b) { return CreateAckDirect(b, 1, &ranges); });
    to.add(22, [&](B b) { return CreateAckedDirect(b, &ranges, &ranges); });
    to.add(23, [](B b) { return CreatePeekDirect(b, "photos", 3, 100, 10, 65'536); });
    to.add(23, [&](B b) { return CreatePeekedDirect(b, 10, 103, &runs); }, body);
}

void add_leases(frame_collector& to) {
    const std::vector<LeaseRange> ranges{{100, 120, 3, 1}, {122, 122, 3, 2}};
    to.add(25, [&](B b) { return CreateStartDirect(b, 1, &ranges); });
    to.add(26, [&](B b) { return CreateNackDirect(b, 1, &ranges, "the image server did not answer"); });
    to.add(27, [&](B b) { return CreateRejectDirect(b, 1, &ranges, "this is no image"); });
    to.add(28, [&](B b) { return CreateReleaseDirect(b, 1, &ranges); });
    to.add(29, [&](B b) { return CreateExtendDirect(b, 1, &ranges); });
}

void add_producers(frame_collector& to) {
    to.add(30, [](B b) { return CreateOpenProducerDirect(b, "web-1", 0x0123456789abcdef, true); });
    const std::vector<ProducerPosition> positions{{33, 7, 3}};
    to.add(30, [&](B b) { return CreateProducerOpenedDirect(b, 11, 2, &positions); });
}

}  // namespace

std::vector<record_sample> records() {
    const auto compressible = repeated("all work and no play ", 60);
    return {
        {"plain", {"", {}, "hello"}},
        {"described", {"user-42", {{"content-type", "text/plain"}, {"trace", std::string("\0\xff", 2)}, {"flag", ""}}, "hello"}},
        {"empty", {}},
        {"lz4", {"user-42", {{"n", "v"}}, compressible}, compression::lz4},
        {"zstd", {"user-42", {{"n", "v"}}, compressible}, compression::zstd},
    };
}

byte_string encode(const message& m, compression method) {
    record_encoder encoder;
    byte_string out;
    const auto refused = encoder.append(m, method, out);
    INFO(to_string(refused));
    REQUIRE_FALSE(refused);
    return out;
}

dead_origin origin() { return {"photos", "resize", 3, {100}, 5, "this is no image"}; }

byte_string envelope(const byte_string& record, const dead_origin& died) {
    byte_string out;
    const auto refused = append_envelope(died, record, out);
    INFO(to_string(refused));
    REQUIRE_FALSE(refused);
    return out;
}

std::vector<frame_sample> frames() {
    frame_collector collector;
    add_conversation(collector);
    add_topics(collector);
    add_subscriptions(collector);
    add_messages(collector);
    add_leases(collector);
    add_producers(collector);
    return std::move(collector.all);
}

namespace {

struct batch {
    batch_header header;
    byte_string records;
};

std::vector<batch> sample_batches() {
    const auto plain = encode(records()[0].content), empty = encode(records()[2].content);
    std::vector<batch> all(2);
    all[0].records = plain;
    all[1].records = plain;
    all[1].records.insert(all[1].records.end(), empty.begin(), empty.end());
    const timestamp at{std::chrono::microseconds{noon}};
    all[0].header = {0, 1, {100}, at, 0, 0, 0, 0};
    all[1].header = {0, 2, {101}, at, 0x1122334455667788, 6, 2, 0};
    for (auto& b : all) {
        b.header.records_bytes = static_cast<std::uint32_t>(b.records.size());
        b.header.checksum = batch_checksum(b.records);
    }
    return all;
}

}  // namespace

std::vector<batch_header> batches() {
    std::vector<batch_header> headers;
    for (const auto& b : sample_batches()) headers.push_back(b.header);
    return headers;
}

byte_string entry() {
    byte_string out;
    for (const auto& b : sample_batches()) {
        append_batch_header(b.header, out);
        out.insert(out.end(), b.records.begin(), b.records.end());
    }
    return out;
}

}  // namespace millrace::proto::samples
