#include <catch2/catch.hpp>

#include <set>

#include "tests/client/scripted_broker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

void publish(scripted_broker& broker, std::uint64_t operation, std::string payload = "x", std::string key = {}, publish_options options = {}) {
    broker.m.publish(ticket{operation}, "photos", {std::move(key), {}, std::move(payload)}, options);
}

/// A broker that was asked for the topic once, with nothing under way.
void start(scripted_broker& broker, std::uint32_t partitions = 1, welcome_terms terms = {}) {
    broker.greet(terms);
    publish(broker, 1'000'000);
    broker.turn();
    broker.know_topic("photos", 5, partitions);
    broker.publish_done(0);
}

std::uint32_t count_of(const sent_frame& f) { return f.head().message_as_Publish()->count(); }
std::uint32_t partition_of(const sent_frame& f) { return f.head().message_as_Publish()->partition(); }

}  // namespace

TEST_CASE("the first publish looks the topic up, later ones do not") {
    scripted_broker broker;
    broker.greet();
    publish(broker, 1, "a");
    publish(broker, 2, "b");
    broker.turn();
    CHECK(broker.count(wire::Message::Metadata) == 1);
    CHECK(broker.count(wire::Message::Publish) == 0);
    broker.know_topic("photos", 5, 1);
    const auto batch = broker.take(wire::Message::Publish);
    CHECK(batch.head().message_as_Publish()->topic() == 5);
    CHECK(count_of(batch) == 2);
    CHECK(batch.body == records_of({{"", {}, "a"}, {"", {}, "b"}}));
    publish(broker, 3, "c");
    broker.turn();
    CHECK(broker.count(wire::Message::Metadata) == 0);
    CHECK(broker.count(wire::Message::Publish) == 1);
}

TEST_CASE("messages of one turn share a batch and get consecutive sequences") {
    scripted_broker broker;
    start(broker);
    for (std::uint64_t i = 0; i < 10; ++i) publish(broker, i);
    broker.turn();
    REQUIRE(broker.count(wire::Message::Publish) == 1);
    broker.publish_done(100);
    for (std::uint64_t i = 0; i < 10; ++i) {
        CHECK_FALSE(broker.only(i).refused);
        CHECK(broker.only(i).at.value == 100 + i);
    }
}

TEST_CASE("an idle connection is not delayed, a busy one fills batches") {
    scripted_broker broker;
    start(broker);
    for (std::uint64_t i = 0; i < 11; ++i) {
        publish(broker, i);
        broker.turn();
    }
    // Eight went at once, three wait for an answer and then go together.
    CHECK(broker.count(wire::Message::Publish) == 8);
    broker.publish_done(0);
    REQUIRE(broker.count(wire::Message::Publish) == 8);
    CHECK(count_of(broker.sent.back()) == 3);
}

TEST_CASE("linger holds a batch back for as long as it says, not longer") {
    machine_settings settings;
    settings.publishing.linger = 5ms;
    scripted_broker broker(settings);
    broker.greet();
    publish(broker, 1);
    broker.turn();
    broker.know_topic("photos", 5, 1);
    CHECK(broker.count(wire::Message::Publish) == 0);
    CHECK(broker.m.next_deadline() == broker.now + 5ms);
    broker.pass(4ms);
    CHECK(broker.count(wire::Message::Publish) == 0);
    broker.pass(1ms);
    CHECK(broker.count(wire::Message::Publish) == 1);
}

TEST_CASE("a batch has no more messages and bytes than the limits") {
    scripted_broker broker;
    start(broker, 1, {.publish_messages = 100'000, .publish_bytes = 64u << 20});
    for (std::uint64_t i = 0; i < 10'000; ++i) publish(broker, i);
    for (std::uint64_t i = 0; i < 5; ++i) publish(broker, 20'000 + i, std::string(400'000, 'x'));
    publish(broker, 30'000, std::string(3'000'000, 'y'));
    broker.turn();
    std::size_t messages = 0;
    for (const auto& f : broker.sent) {
        messages += count_of(f);
        CHECK(count_of(f) <= limits::batch_messages);
        CHECK((f.body.size() <= limits::batch_bytes || count_of(f) == 1));
    }
    CHECK(messages == 10'006);
    while (broker.count(wire::Message::Publish) > 0) broker.publish_done(0);
    CHECK(broker.done.size() == 10'007);
}

TEST_CASE("a batch takes half the credit, so that one is filled while another is answered") {
    scripted_broker broker;
    std::uint32_t in_each = 0;
    std::string payload;
    SECTION("in messages") {
        start(broker, 1, {.publish_messages = 10});
        in_each = 5;
    }
    SECTION("in bytes") {
        start(broker, 1, {.publish_bytes = 12'000});
        payload = std::string(900, 'x');  // records are a little longer, and taken for 1 028 at most
        in_each = 6;
    }
    for (std::uint64_t i = 0; i < 2 * in_each; ++i) publish(broker, i, payload);
    broker.turn();
    REQUIRE(broker.count(wire::Message::Publish) == 2);
    for (const auto& f : broker.sent) CHECK(count_of(f) == in_each);
}

TEST_CASE("a batch that is full does not wait for the end of the turn, but for the connection") {
    scripted_broker broker;
    start(broker, 1, {.publish_messages = 10});
    for (std::uint64_t i = 0; i < 4; ++i) publish(broker, i);
    CHECK_FALSE(broker.m.has_output());
    publish(broker, 4);
    CHECK(broker.m.has_output());
    broker.turn();
    CHECK(broker.count(wire::Message::Publish) == 1);

    broker.m.lost({errc::connection_lost, "cut"});
    broker.turn();
    for (std::uint64_t i = 5; i < 10; ++i) publish(broker, i);
    CHECK_FALSE(broker.m.has_output());
}

TEST_CASE("credit in messages and bytes is never overrun, and everything is sent in the end") {
    const auto terms = GENERATE(welcome_terms{.publish_messages = 1, .publish_bytes = 1u << 20}, welcome_terms{.publish_messages = 7, .publish_bytes = 2'000},
                                welcome_terms{.publish_messages = 50, .publish_bytes = 100}, welcome_terms{.publish_messages = 64, .publish_bytes = 1u << 20});
    scripted_broker broker;
    start(broker, 3, terms);
    const std::uint64_t total = 500;
    for (std::uint64_t i = 0; i < total; ++i) {
        publish(broker, i, std::string(i % 300, 'p'), i % 2 ? "k" + std::to_string(i) : "");
        if (i % 11 == 0) broker.turn();
    }
    broker.turn();
    std::uint64_t next = 0;
    while (broker.count(wire::Message::Publish) > 0) {
        std::uint64_t messages = 0, bytes = 0, frames = 0;
        for (const auto& f : broker.sent) {
            messages += count_of(f);
            bytes += f.body.size();
            ++frames;
        }
        CHECK(((messages <= terms.publish_messages && bytes <= terms.publish_bytes) || (frames == 1 && messages == 1)));
        broker.publish_done(next);
        next += 1000;
    }
    CHECK(broker.done.size() == total + 1);
    for (const auto& [operation, outcomes] : broker.done) CHECK(outcomes.size() == 1);
}

TEST_CASE("a key always goes to the same partition, and messages of a key keep their order") {
    scripted_broker broker;
    start(broker, 8);
    std::map<std::string, std::vector<std::string>> sent, arrived;
    std::map<std::string, std::set<std::uint32_t>> partitions;
    for (std::uint64_t i = 0; i < 200; ++i) {
        const auto key = "user-" + std::to_string(i % 13);
        sent[key].push_back(std::to_string(i));
        publish(broker, i, std::to_string(i), key);
    }
    broker.turn();
    while (broker.count(wire::Message::Publish) > 0) {
        const auto f = broker.sent.front();
        std::span<const std::byte> rest(f.body);
        while (!rest.empty()) {
            const auto length = *proto::record_length(rest);
            message m;
            REQUIRE_FALSE(proto::decode_record(rest.first(length), m));
            arrived[m.key].push_back(m.payload);
            partitions[m.key].insert(partition_of(f));
            rest = rest.subspan(length);
        }
        broker.publish_done(0);
    }
    CHECK(arrived == sent);
    for (const auto& [key, places] : partitions) CHECK(places.size() == 1);
}

TEST_CASE("messages without a key go to one partition after the other, a batch to each") {
    scripted_broker broker;
    start(broker, 3);
    std::vector<std::uint32_t> places;
    for (std::uint64_t i = 0; i < 6; ++i) {
        publish(broker, 2 * i);
        publish(broker, 2 * i + 1);
        broker.turn();
        places.push_back(partition_of(broker.sent.front()));
        CHECK(count_of(broker.sent.front()) == 2);
        broker.publish_done(0);
    }
    CHECK(places == std::vector<std::uint32_t>{1, 2, 0, 1, 2, 0});
}

TEST_CASE("a demanded durability travels with its own batch") {
    scripted_broker broker;
    start(broker);
    publish(broker, 1);
    publish(broker, 2, "x", {}, {durability::disk});
    publish(broker, 3, "x", {}, {durability::disk});
    broker.turn();
    REQUIRE(broker.count(wire::Message::Publish) == 2);
    CHECK(broker.sent[0].head().message_as_Publish()->durability() == wire::Durability::memory);
    CHECK(broker.sent[1].head().message_as_Publish()->durability() == wire::Durability::disk);
    CHECK(count_of(broker.sent[1]) == 2);
}

TEST_CASE("a refused batch refuses each of its messages with the broker's words") {
    scripted_broker broker;
    start(broker);
    publish(broker, 1);
    publish(broker, 2);
    broker.turn();
    broker.refuse(wire::Message::Publish, errc::backlog_full, "photos holds 10GiB");
    for (const auto operation : {1u, 2u}) CHECK(broker.only(operation).refused == error{errc::backlog_full, "photos holds 10GiB"});
}

TEST_CASE("a broker that does not own a partition says who does") {
    scripted_broker broker;
    start(broker);
    publish(broker, 1);
    broker.turn();
    auto& b = broker.builder();
    broker.answer_with(wire::Message::Publish, wire::CreateFailedDirect(b, static_cast<std::uint16_t>(errc::not_owner), "photos/0 moved", "10.0.0.2:7070"));
    CHECK(broker.only(1).refused == error{errc::not_owner, "photos/0 moved (ask 10.0.0.2:7070)"});
}

TEST_CASE("a message that is too large is refused here and the others go") {
    scripted_broker broker;
    start(broker, 1, {.message_bytes_max = 1000});
    publish(broker, 1, "small");
    publish(broker, 2, std::string(2'000, 'x'));
    publish(broker, 3, std::string(limits::message_bytes + 1, 'x'));
    publish(broker, 4, "small too");
    broker.turn();
    CHECK(broker.only(2).refused.code == errc::message_too_large);
    CHECK(broker.only(3).refused.code == errc::message_too_large);
    broker.publish_done(10);
    broker.publish_done(11);
    CHECK(broker.only(1).at.value == 10);
    CHECK(broker.only(4).at.value == 11);
}

TEST_CASE("what is too large is a message, not the batch that it is in") {
    scripted_broker broker;
    start(broker, 1, {.message_bytes_max = 1000});
    for (std::uint64_t operation = 1; operation <= 4; ++operation) publish(broker, operation, std::string(700, 'x'));
    broker.turn();
    CHECK(count_of(broker.sent.front()) == 4);
    broker.publish_done(10);
    for (std::uint64_t operation = 1; operation <= 4; ++operation) CHECK(broker.only(operation).at.value == 9 + operation);
}

TEST_CASE("a topic that is not there refuses what waits for it, and is asked for again next time") {
    scripted_broker broker;
    broker.greet();
    publish(broker, 1);
    broker.turn();
    auto& b = broker.builder();
    const auto places = wire::CreateTopicPlaces(b, b.CreateString("photos"), 0, 0, static_cast<std::uint16_t>(errc::no_such_topic));
    const auto topics = b.CreateVector(&places, 1);
    broker.answer_with(wire::Message::Metadata, wire::CreateMetadataOk(b, 1, 0, topics));
    CHECK(broker.only(1).refused.code == errc::no_such_topic);
    CHECK(broker.only(1).refused.what.find("photos") != std::string::npos);
    publish(broker, 2);
    broker.turn();
    CHECK(broker.count(wire::Message::Metadata) == 1);
}

TEST_CASE("messages of a key that were placed stay in their partition when the topic has grown, or go with their key in another topic") {
    machine_settings settings;
    settings.reconnects = settings.resends = true;
    scripted_broker broker(settings);
    start(broker, 1);
    const auto key = std::string("user-1");
    publish(broker, 1, "a", key);
    broker.turn();
    CHECK(partition_of(broker.sent.front()) == 0);
    broker.cut();
    broker.greet();
    const auto of_key = [&broker] {
        std::set<std::uint32_t> places;
        for (const auto& f : broker.sent)
            if (f.kind() == wire::Message::Publish) places.insert(partition_of(f));
        return places;
    };
    SECTION("grown") {
        broker.know_topic("photos", 5, 1000);
        CHECK(of_key() == std::set<std::uint32_t>{0});
    }
    SECTION("another") {
        broker.know_topic("photos", 6, 1000);
        publish(broker, 2, "b", key);
        broker.turn();
        CHECK(of_key().size() == 1);
        CHECK(*of_key().begin() != 0);
    }
}

TEST_CASE("a topic that was created again is looked up once more and its messages are placed anew") {
    scripted_broker broker;
    start(broker, 4);
    publish(broker, 1, "a", "key-1");
    publish(broker, 2, "b", "key-2");
    publish(broker, 3, "c", "key-1");
    broker.turn();
    while (broker.count(wire::Message::Publish) > 0) broker.refuse(wire::Message::Publish, errc::no_such_topic);
    CHECK(broker.count(wire::Message::Metadata) == 1);
    publish(broker, 4, "d");
    broker.know_topic("photos", 6, 1);
    const auto again = broker.sent.front();
    CHECK(again.head().message_as_Publish()->topic() == 6);
    CHECK(again.head().message_as_Publish()->partition() == 0);
    CHECK(count_of(again) == 4);
    // Twice is final.
    broker.refuse(wire::Message::Publish, errc::no_such_topic);
    CHECK(broker.count(wire::Message::Metadata) == 0);
    for (const auto operation : {1u, 2u, 3u, 4u}) {
        REQUIRE(broker.done.at(operation).size() == 1);
        CHECK(broker.only(operation).refused.code == errc::no_such_topic);
    }
}

TEST_CASE("a message whose topic is gone a second time is refused, also when it is alone") {
    scripted_broker broker;
    start(broker);
    publish(broker, 1);
    broker.turn();
    broker.refuse(wire::Message::Publish, errc::no_such_topic);
    broker.know_topic("photos", 6, 1);
    broker.refuse(wire::Message::Publish, errc::no_such_topic);
    CHECK(broker.count(wire::Message::Metadata) == 0);
    CHECK(broker.only(1).refused.code == errc::no_such_topic);
}

TEST_CASE("what was meant for a topic that was created again keeps its order, also with what is published meanwhile") {
    scripted_broker broker;
    start(broker, 2, {.publish_messages = 4, .publish_bytes = 1u << 20, .idle_timeout = 0});
    for (std::uint64_t i = 1; i <= 3; ++i) {
        publish(broker, i, std::to_string(i));  // two are under way; the third waits for credit
        publish(broker, 10 + i, std::to_string(10 + i), "key-1");
        broker.turn();
    }
    broker.refuse(wire::Message::Publish, errc::no_such_topic);
    publish(broker, 20, "20");
    broker.turn();
    broker.know_topic("photos", 6, 1);
    std::vector<std::byte> placed;
    while (broker.count(wire::Message::Publish) > 0) {
        const auto next = std::find_if(broker.sent.begin(), broker.sent.end(), [](const auto& f) { return f.kind() == wire::Message::Publish; });
        if (next->head().message_as_Publish()->topic() == 5) {
            broker.refuse(wire::Message::Publish, errc::no_such_topic);
        } else {
            placed.insert(placed.end(), next->body.begin(), next->body.end());
            broker.publish_done(placed.size());
        }
    }
    const message keyed_1{"key-1", {}, "11"}, keyed_2{"key-1", {}, "12"}, keyed_3{"key-1", {}, "13"};
    CHECK(placed == records_of({{"", {}, "1"}, keyed_1, {"", {}, "2"}, keyed_2, {"", {}, "3"}, keyed_3, {"", {}, "20"}}));
    for (const auto operation : {1u, 11u, 2u, 12u, 3u, 13u, 20u}) CHECK_FALSE(broker.only(operation).refused);
}

TEST_CASE("more partitions seen in a description are used, and fewer are not believed") {
    scripted_broker broker;
    start(broker, 1);
    for (const std::size_t count : {2u, 1u}) {
        broker.m.ask(ticket{count}, describe_topic{"photos"});
        broker.turn();
        auto& b = broker.builder();
        std::vector<flatbuffers::Offset<wire::PartitionInfo>> partitions(count);
        for (auto& p : partitions) p = wire::CreatePartitionInfo(b);
        broker.answer_with(wire::Message::DescribeTopic, wire::CreateTopicInfoDirect(b, "photos", 5, 0, 0, &partitions));
        std::set<std::uint32_t> places;
        for (std::uint64_t i = 0; i < 4; ++i) {
            publish(broker, 10 * count + i);
            broker.turn();
            places.insert(partition_of(broker.sent.front()));
            broker.publish_done(0);
        }
        CHECK(places == std::set<std::uint32_t>{0, 1});
    }
}

TEST_CASE("an unanswered batch times out once, and its credit comes back only with the late answer") {
    scripted_broker broker;
    start(broker, 1, {.publish_messages = 2, .publish_bytes = 1u << 20, .idle_timeout = 0});
    publish(broker, 1);
    broker.turn();
    publish(broker, 2);
    broker.turn();
    publish(broker, 3);
    broker.turn();
    CHECK(broker.count(wire::Message::Publish) == 2);
    broker.pass(30s);
    for (const auto operation : {1u, 2u, 3u}) CHECK(broker.only(operation).refused.code == errc::timed_out);
    publish(broker, 4);
    broker.turn();
    CHECK(broker.count(wire::Message::Publish) == 2);
    broker.publish_done(0);
    CHECK(broker.count(wire::Message::Publish) == 2);
    broker.publish_done(1);
    broker.publish_done(2);
    CHECK(broker.only(4).at.value == 2);
    CHECK(broker.done.at(1).size() == 1);
}
