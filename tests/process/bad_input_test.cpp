// Clients that break the rules, each against a real broker: they get a named error or a closed connection, and nobody else notices anything.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/process/blocking_client.hpp"
#include "tests/process/raw_client.hpp"

namespace millrace::process {
namespace {

using kind = wire::Message;

struct greeted_client : raw_client {
    explicit greeted_client(const broker_process& broker) : raw_client(broker) { REQUIRE(greet().kind == kind::Welcome); }
};

/// A broker with a topic, and a client that works on it all the while, on one connection that nobody may disturb.
struct busy_broker {
    scratch_directory scratch;
    broker_process broker{{"--store", scratch.store()}};
    blocking_client bystander{broker.address()};
    client::consumer consumer;
    std::uint32_t topic = 0;
    int worked = 0;

    busy_broker() {
        bystander.create_topic("photos");
        bystander.create_subscription("photos", "thumbs");
        topic = blocking_client::value(bystander.call<client::topic_description>(
            [](auto& b, auto done) { b.async_describe_topic("photos", std::move(done)); })).id;
        consumer = bystander.subscribe("photos", "thumbs");
        work();
    }

    ~busy_broker() {
        work();
        CHECK(broker.process().running());
    }

    void work() {
        const auto payload = "work " + std::to_string(++worked);
        REQUIRE(!bystander.publish("photos", payload).code);
        for (bool found = false; !found;)
            for (const auto& d : bystander.receive(consumer)) {
                found = found || d.message.payload == payload;
                consumer.ack(d);
            }
        REQUIRE(bystander.settle(consumer).lost.empty());
    }

    void fill(int mebibytes) {
        for (int i = 0; i < mebibytes; ++i) REQUIRE(!bystander.publish("photos", std::string((1 << 20) - 200, static_cast<char>('a' + i % 26))).code);
    }

    /// Sends the same so many times, or until the broker no longer listens, while others work. Then the broker must say that this is why.
    void dropped_as_slow_reader(raw_client& c, const std::vector<std::byte>& some, int times) {
        const auto dropped = [&] { return broker.process().errors().find(" closed: ") != std::string::npos; };
        for (int i = 0; i < times && !dropped() && c.send_some(some); ++i) work();
        bystander.run_until(dropped);
        CHECK(broker.process().errors().find(name_of(errc::slow_reader)) != std::string::npos);
        const auto told = c.read_goodbye();
        CHECK((told == errc::slow_reader || told == errc::ok));
    }

    /// What a request is refused with; the connection then still answers.
    template <class Table>
    errc refusal(raw_client& c, flatbuffers::Offset<Table> request, const std::vector<std::byte>& body = {}) {
        REQUIRE(c.send(7, request, body));
        const auto answer = c.read();
        REQUIRE(answer);
        CHECK(answer->id == 7);
        REQUIRE(c.send(8, wire::CreatePing(c.builder)));
        const auto pong = c.read();
        REQUIRE(pong);
        CHECK(pong->kind == kind::Pong);
        return answer->kind == kind::Failed ? answer->code : errc::ok;
    }
};

std::vector<std::byte> operator+(std::vector<std::byte> left, const std::vector<std::byte>& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

template <class Table>
std::vector<std::byte> frame(raw_client& c, std::uint64_t id, flatbuffers::Offset<Table> message, const std::vector<std::byte>& body = {}) {
    return raw_client::frame(c.builder, id, message, body);
}

}  // namespace

TEST_CASE_METHOD(busy_broker, "garbage instead of a frame") {
    raw_client c(broker);
    c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const auto told = c.read_goodbye();
    CHECK((told == errc::frame_too_large || told == errc::malformed_frame));

    raw_client zeros(broker);
    zeros.send(std::string(4096, '\0'));
    CHECK(zeros.read_goodbye() == errc::malformed_frame);
}

TEST_CASE_METHOD(busy_broker, "garbage after a hello") {
    greeted_client c(broker);
    c.send(std::string("\x20\0\0\0\x20\0\0\0", 8) + std::string(32, '\x55'));
    CHECK(c.read_goodbye() == errc::malformed_frame);
}

TEST_CASE_METHOD(busy_broker, "a length over the limit, before anything is allocated") {
    const auto before = broker.resident_bytes();
    for (int i = 0; i < 20; ++i) {
        greeted_client c(broker);
        c.send(std::string("\xf0\xff\xff\xff\x10\0\0\0", 8));
        CHECK(c.read_goodbye() == errc::frame_too_large);
    }
    CHECK(broker.resident_bytes() < before + (64u << 20));
}

TEST_CASE_METHOD(busy_broker, "a truncated hello and then silence") {
    raw_client silent(broker);
    raw_client truncated(broker);
    auto hello = frame(truncated, 0, wire::CreateHello(truncated.builder, 1, 1));
    hello.resize(hello.size() / 2);
    truncated.send(hello);
    CHECK(silent.read_goodbye() == errc::hello_expected);
    CHECK(truncated.read_goodbye() == errc::hello_expected);
}

TEST_CASE_METHOD(busy_broker, "a version that the broker does not speak") {
    raw_client c(broker);
    const auto told = c.greet(99);
    CHECK(told.kind == kind::Goodbye);
    CHECK(told.code == errc::unsupported_version);
    CHECK(!c.read());
}

TEST_CASE_METHOD(busy_broker, "a request before the hello") {
    raw_client c(broker);
    c.send(1, wire::CreatePing(c.builder));
    CHECK(c.read_goodbye() == errc::hello_expected);
}

TEST_CASE_METHOD(busy_broker, "messages that only a broker sends") {
    greeted_client c(broker);
    CHECK(refusal(c, wire::CreateOk(c.builder)) == errc::unknown_request);
    CHECK(refusal(c, wire::CreatePublished(c.builder, 1)) == errc::unknown_request);
    CHECK(refusal(c, wire::CreateHello(c.builder, 1, 1)) == errc::unknown_request);
}

TEST_CASE_METHOD(busy_broker, "more messages under way than the credit") {
    greeted_client c(broker);
    const auto one = records_of("x");
    c.send(frame(c, 1, wire::CreatePublish(c.builder, topic, 0, 1), one) + frame(c, 2, wire::CreatePublish(c.builder, topic, 0, 70'000), one));
    CHECK(c.read_goodbye() == errc::credit_exceeded);
}

TEST_CASE_METHOD(busy_broker, "a request id twice") {
    greeted_client c(broker);
    const auto one = records_of("x");
    c.send(frame(c, 5, wire::CreatePublish(c.builder, topic, 0, 1), one) + frame(c, 5, wire::CreatePublish(c.builder, topic, 0, 1), one));
    CHECK(c.read_goodbye() == errc::malformed_frame);
}

TEST_CASE_METHOD(busy_broker, "batches that are not what they say") {
    greeted_client c(broker);
    const auto publish = [&](std::uint32_t count, const std::vector<std::byte>& body) {
        return refusal(c, wire::CreatePublish(c.builder, topic, 0, count), body);
    };
    const auto two = records_of("content", 2);
    auto damaged = two;
    damaged[damaged.size() - 9] ^= std::byte{1};
    CHECK(publish(2, two) == errc::ok);
    CHECK(publish(0, {}) == errc::invalid_argument);
    CHECK(publish(1, two) == errc::malformed_record);
    CHECK(publish(3, two) == errc::malformed_record);
    CHECK(publish(2, damaged) == errc::checksum_mismatch);
    CHECK(publish(limits::batch_messages + 1, records_of("", limits::batch_messages + 1)) == errc::batch_too_large);
    CHECK(publish(2, records_of(std::string(limits::batch_bytes, 'x'), 2)) == errc::batch_too_large);
    CHECK(publish(1, records_of(std::string(4 * limits::batch_bytes, 'x'))) == errc::ok);
    CHECK(refusal(c, wire::CreatePublish(c.builder, 999, 0, 1), records_of("x")) == errc::no_such_topic);
    CHECK(refusal(c, wire::CreatePublish(c.builder, topic, 9, 1), records_of("x")) == errc::no_such_partition);
    CHECK(refusal(c, wire::CreatePublish(c.builder, topic, 0, 1, wire::Durability::replicated), records_of("x")) == errc::durability_unavailable);
    CHECK(refusal(c, wire::CreatePublish(c.builder, topic, 0, 1, static_cast<wire::Durability>(200)), records_of("x")) == errc::durability_unavailable);
}

TEST_CASE_METHOD(busy_broker, "names and numbers that are nothing's") {
    greeted_client c(broker);
    auto& b = c.builder;
    CHECK(refusal(c, wire::CreateCreateTopic(b)) == errc::invalid_name);
    CHECK(refusal(c, wire::CreateDescribeTopic(b)) == errc::no_such_topic);
    CHECK(refusal(c, wire::CreatePeekDirect(b, "photos", 9, 0, 1, 1)) == errc::no_such_partition);
    CHECK(refusal(c, wire::CreateUnsubscribe(b, 3)) == errc::no_such_consumer);
    CHECK(refusal(c, wire::CreateAck(b, 3)) == errc::no_such_consumer);
    const auto odd = wire::CreateTopicSettings(b, {}, {}, {}, {}, {}, static_cast<wire::LimitPolicy>(77));
    CHECK(refusal(c, wire::CreateCreateTopicDirect(b, "odd", odd)) == errc::invalid_argument);
    const auto start = wire::CreateStartFrom(b, static_cast<wire::StartKind>(77), 0);
    CHECK(refusal(c, wire::CreateCreateSubscriptionDirect(b, "photos", "odd", 0, start)) == errc::invalid_argument);
}

TEST_CASE_METHOD(busy_broker, "consumers that hold what they were not given") {
    greeted_client c(broker);
    auto& b = c.builder;
    bystander.create_subscription("photos", "other");
    REQUIRE(refusal(c, wire::CreateSubscribeDirect(b, 1, "photos", "other", 0, 0)) == errc::ok);
    CHECK(refusal(c, wire::CreateSubscribeDirect(b, 1, "photos", "other", 0, 0)) == errc::consumer_exists);
    const auto ack = [&](wire::LeaseRange range) {
        const std::vector<wire::LeaseRange> ranges{range};
        return refusal(c, wire::CreateAckDirect(b, 1, &ranges));
    };
    CHECK(ack({5, 4, 0, 1}) == errc::invalid_argument);
    CHECK(ack({0, ~std::uint64_t{0}, 0, 1}) == errc::invalid_argument);
    CHECK(ack({0, 0, 9, 1}) == errc::no_such_partition);
    ack({0, 0, 0, 1});  // a message that nobody holds: its place in Acked says what became of it
    CHECK(bystander.describe("photos", "other").partitions.at(0).leased == 0);
    c.send(0, wire::CreateCredit(b, 77, 100, 100));  // of no consumer: no answer, no harm
    CHECK(refusal(c, wire::CreatePing(b)) == errc::ok);
}

TEST_CASE_METHOD(busy_broker, "a peer that vanishes in the middle of a batch") {
    for (int i = 0; i < 20; ++i) {
        greeted_client c(broker);
        auto bytes = frame(c, 1, wire::CreatePublish(c.builder, topic, 0, 1), records_of(std::string(100'000, 'x')));
        bytes.resize(bytes.size() / 20 * static_cast<std::size_t>(i));
        c.send(bytes);
        c.reset();
    }
    CHECK(bystander.describe("photos", "thumbs").partitions.at(0).published == static_cast<std::uint64_t>(worked));
}

TEST_CASE_METHOD(busy_broker, "a slow peer, the last bytes of whose batch come together with what it says next") {
    greeted_client c(broker);
    std::vector<std::byte> pings;
    for (std::uint64_t id = 1; id <= 40; ++id) pings = std::move(pings) + frame(c, id, wire::CreatePing(c.builder));
    for (std::size_t payload : {2500u, 10'000u, 100'000u, 500'000u})
        for (std::size_t lacks : {8u, 100u, 1500u}) {
            auto said = frame(c, 100, wire::CreatePublish(c.builder, topic, 0, 1), records_of(std::string(payload, 'x')));
            const auto end = said.end() - static_cast<std::ptrdiff_t>(lacks);
            const std::vector<std::byte> rest(end, said.end());
            said.erase(end, said.end());
            REQUIRE(c.send(said));
            work();  // while the broker has it
            REQUIRE(c.send(rest + pings));
            std::size_t pongs = 0, published = 0;
            while (pongs < 40 || published < 1) {
                const auto heard = c.read();
                REQUIRE(heard);
                pongs += heard->kind == kind::Pong;
                published += heard->kind == kind::Published;
            }
        }
}

TEST_CASE_METHOD(busy_broker, "a peer that asks for a peek larger than a frame") {
    for (int i = 0; i < 24; ++i) REQUIRE(!bystander.publish("photos", std::string(1 << 20, 'x')).code);
    greeted_client c(broker);
    c.send(1, wire::CreatePeekDirect(c.builder, "photos", 0, 0, ~0u, ~0u));
    const auto peeked = c.read();
    REQUIRE(peeked);
    CHECK(peeked->kind == kind::Peeked);
}

TEST_CASE_METHOD(busy_broker, "a peer that reads none of its answers") {
    greeted_client c(broker);
    std::vector<std::byte> pings;
    for (int i = 0; i < 20'000; ++i) pings = std::move(pings) + frame(c, 1, wire::CreatePing(c.builder));
    dropped_as_slow_reader(c, pings, 1000);
}

TEST_CASE_METHOD(busy_broker, "a peer that reads nothing of what it looks at") {
    fill(64);
    const auto before = broker.resident_bytes();
    greeted_client c(broker);
    std::vector<std::byte> peeks;
    for (std::uint64_t i = 0; i < 400; ++i)
        peeks = std::move(peeks) + frame(c, 1 + i, wire::CreatePeekDirect(c.builder, "photos", 0, i % 64, ~0u, ~0u));
    dropped_as_slow_reader(c, peeks, 1);
    CHECK(broker.resident_bytes() < before + (300u << 20));
}

TEST_CASE_METHOD(busy_broker, "a consumer that gives credit without end and reads nothing") {
    bystander.create_subscription("photos", "greedy");
    fill(300);
    const auto before = broker.resident_bytes();
    greeted_client c(broker);
    REQUIRE(c.send(1, wire::CreateSubscribeDirect(c.builder, 1, "photos", "greedy", ~0u, ~std::uint64_t{0})));
    bystander.run_until([&] { return bystander.describe("photos", "greedy").partitions.at(0).leased >= 32; });
    CHECK(bystander.describe("photos", "greedy").partitions.at(0).leased < 64);
    dropped_as_slow_reader(c, frame(c, 0, wire::CreateCredit(c.builder, 1, ~0u, ~std::uint64_t{0})), 10'000);
    CHECK(broker.resident_bytes() < before + (300u << 20));
}

TEST_CASE("tokens that are nobody's, and one that may do nothing, beside somebody who works") {
    scratch_directory scratch;
    const auto file = (scratch.path() / "tokens").string();
    const std::string mine = "mine-mine-mine-mine-mine", powerless = "powerless-powerless-powerless";
    std::ofstream(file) << "me publish,consume,admin " << mine << "\nnobody none " << powerless << "\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    broker_process broker({"--store", "memory:", "--auth-file", file});
    client::connection_settings settings;
    settings.server = broker.address();
    settings.token = mine;
    settings.reconnect.enabled = false;
    blocking_client bystander(settings);
    bystander.create_topic("photos");
    bystander.create_subscription("photos", "thumbs");

    std::minstd_rand random(11);
    for (int i = 0; i < 200; ++i) {
        raw_client c(broker);
        std::string token(random() % 400, '\0');
        for (auto& byte : token) byte = static_cast<char>(random());
        if (i % 2 == 0) token = mine.substr(0, static_cast<std::size_t>(i) % mine.size());
        const auto bytes = c.builder.CreateString(token);
        c.send(0, wire::CreateHello(c.builder, 1, 1, 0, bytes));
        CHECK(c.read_goodbye() == errc::unauthorized);
        REQUIRE(!bystander.publish("photos", "work").code);
    }
    raw_client c(broker);
    c.send(0, wire::CreateHelloDirect(c.builder, 1, 1, 0, powerless.c_str()));
    REQUIRE(c.read()->kind == kind::Welcome);
    for (std::uint64_t id = 1; id <= 10'000; ++id)
        if (!c.send(id, wire::CreatePublish(c.builder, 1, 0, 1), records_of("x"))) break;
    for (std::uint64_t id = 1; id <= 10'000; ++id) REQUIRE(c.read()->code == errc::forbidden);
    CHECK(bystander.describe("photos", "thumbs").partitions.at(0).published == 200);
}

TEST_CASE_METHOD(busy_broker, "frames with bits turned over") {
    std::minstd_rand random(7);
    for (int i = 0; i < 300; ++i) {
        raw_client c(broker);
        auto& b = c.builder;
        auto bytes = frame(c, 0, wire::CreateHello(b, 1, 1)) + frame(c, 1, wire::CreateCreateTopicDirect(b, "turned")) +
                     frame(c, 2, wire::CreateSubscribeDirect(b, 1, "photos", "thumbs", 0, 0)) +
                     frame(c, 3, wire::CreatePeekDirect(b, "photos", 0, 0, 10, 1000)) +
                     frame(c, 4, wire::CreatePublish(b, topic, 0, 2), records_of("turned", 2));
        for (int flips = 0; flips < 3; ++flips) bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << random() % 8);
        c.send(bytes);
        c.reset();
        if (i % 50 == 0) work();
    }
}

}  // namespace millrace::process
