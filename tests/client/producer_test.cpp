// A named producer: whatever is lost, whenever, each message is in the log once and in order, and each publish ends once.
#include <catch2/catch.hpp>

#include <set>

#include <xxhash.h>

#include "tests/client/scripted_broker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

constexpr std::uint32_t topic_id = 5;

machine_settings named(bool returns = true, bool resends = true) {
    machine_settings s;
    s.reconnects = returns;
    s.resends = resends;
    s.publishing.producer = "web";
    s.incarnation = 77;
    return s;
}

/// A broker that keeps the rules of FORMAT.md for numbered batches: takes, knows again, refuses. It outlives the connections to it.
struct counting_broker : scripted_broker {
    using scripted_broker::scripted_broker;

    struct taken {
        std::uint64_t number, first;
        std::vector<std::byte> body;
    };
    std::map<std::uint32_t, std::vector<std::string>> logs;  // payloads by partition
    std::map<std::uint32_t, std::deque<taken>> batches;      // of the producer, the last five
    std::uint32_t epoch = 0;
    std::uint64_t incarnation = 0;
    std::uint32_t topic = topic_id;
    std::uint32_t partitions = 2;
    errc refuse_next = errc::ok;  // the next new batch
    std::set<std::uint64_t> numbers_resent;
    bool answers = true;  // false: what it says is lost on the way

    std::uint64_t last(std::uint32_t partition) { return batches[partition].empty() ? 0 : batches[partition].back().number; }

    template <class Table>
    void say(const sent_frame& to, flatbuffers::Offset<Table> message) {
        sent.push_front(to);  // answer_with() takes it from there
        if (answers)
            answer_with(to.kind(), message);
        else
            sent.pop_front(), builder().Clear();
    }

    void refuse_with(const sent_frame& to, errc code) { say(to, wire::CreateFailed(builder(), static_cast<std::uint16_t>(code), builder().CreateString("no"))); }

    /// Takes the oldest frame. False when there is none.
    bool step() {
        if (sent.empty()) return false;
        const auto f = sent.front();
        sent.pop_front();
        switch (f.kind()) {
            case wire::Message::Hello:
                say(f, wire::CreateWelcome(builder(), 1, 0, builder().CreateString("counting"), 7, 9, wire::Durability::disk, 20, 1u << 20, 16u << 20, 8u << 20, 30'000));
                break;
            case wire::Message::OpenProducer: open(f); break;
            case wire::Message::Publish: take_batch(f); break;
            case wire::Message::Metadata:
                if (!answers) break;
                sent.push_front(f);
                know_topic("photos", topic, partitions);
                break;
            default: throw std::runtime_error("a frame that no producer sends");
        }
        return true;
    }

    void open(const sent_frame& f) {
        const auto& asked = *f.head().message_as_OpenProducer();
        CHECK(asked.name()->str() == "web");
        if (asked.returning() && asked.incarnation() != incarnation && epoch > 0) return refuse_with(f, errc::producer_fenced);
        incarnation = asked.incarnation();
        ++epoch;
        std::vector<wire::ProducerPosition> positions;
        for (const auto& [partition, known] : batches)
            if (!known.empty()) positions.emplace_back(known.back().number, topic, partition);
        say(f, wire::CreateProducerOpenedDirect(builder(), 3, epoch, &positions));
    }

    void take_batch(const sent_frame& f) {
        const auto& p = *f.head().message_as_Publish();
        CHECK((p.producer() == 3 && p.number() > 0));
        if (p.topic() != topic) return refuse_with(f, errc::no_such_topic);
        if (p.producer_epoch() != epoch) return refuse_with(f, errc::producer_fenced);
        auto& known = batches[p.partition()];
        for (const auto& b : known) {
            if (b.number != p.number()) continue;
            numbers_resent.insert(b.number);
            CHECK(b.body == f.body);  // byte for byte, else batch_mismatch
            return say(f, wire::CreatePublished(builder(), b.first, wire::Durability::disk));
        }
        if (p.number() != last(p.partition()) + 1) return refuse_with(f, errc::batch_gap);
        if (refuse_next != errc::ok) return refuse_with(f, std::exchange(refuse_next, errc::ok));
        auto& log = logs[p.partition()];
        known.push_back({p.number(), log.size(), f.body});
        if (known.size() > 5) known.pop_front();
        std::span<const std::byte> rest(f.body);
        while (!rest.empty()) {
            const auto length = *proto::record_length(rest);
            message content;
            REQUIRE_FALSE(proto::decode_record(rest.first(length), content));
            log.push_back(content.payload);
            rest = rest.subspan(length);
        }
        say(f, wire::CreatePublished(builder(), known.back().first, wire::Durability::disk));
    }

    /// The topic is deleted and made again.
    void make_topic_again() {
        ++topic;
        logs.clear();
        batches.clear();
    }

    void run() {
        while (step()) continue;
    }

    void come_back() {
        answers = true;
        m.connected(now);
        turn();
    }

    void publish(std::uint64_t operation, std::string payload, std::string key = {}) {
        m.publish(ticket{operation}, "photos", {std::move(key), {}, std::move(payload)});
    }

    void publish_and_run(std::uint64_t operation, std::string payload, std::string key = {}) {
        publish(operation, std::move(payload), std::move(key));
        turn();
        run();
    }

    std::vector<std::string> all() const {
        std::vector<std::string> found;
        for (const auto& [partition, log] : logs) found.insert(found.end(), log.begin(), log.end());
        return found;
    }
};

void connect(counting_broker& broker) {
    broker.m.connected(broker.now);
    broker.turn();
    broker.run();
}

/// Payloads of one key in the order of the log.
std::vector<std::string> of_key(const counting_broker& broker, const std::string& key) {
    std::vector<std::string> found;
    for (const auto& payload : broker.all())
        if (payload.starts_with(key)) found.push_back(payload);
    return found;
}

}  // namespace

TEST_CASE("a named producer is opened before it is welcomed, and its batches count up in each partition") {
    counting_broker broker(named());
    broker.m.connected(broker.now);
    broker.turn();
    CHECK(broker.step());
    CHECK(broker.welcomes == 0);
    CHECK(broker.sent.front().kind() == wire::Message::OpenProducer);
    CHECK(broker.sent.front().head().message_as_OpenProducer()->incarnation() == 77);
    CHECK_FALSE(broker.sent.front().head().message_as_OpenProducer()->returning());
    broker.run();
    CHECK(broker.welcomes == 1);
    for (std::uint64_t i = 0; i < 6; ++i) {
        broker.publish_and_run(i, std::to_string(i));
    }
    CHECK(broker.last(0) == 3);
    CHECK(broker.last(1) == 3);
    for (std::uint64_t i = 0; i < 6; ++i) CHECK_FALSE(broker.only(i).refused);
}

TEST_CASE("the numbers go on where an earlier incarnation ended") {
    counting_broker broker(named());
    broker.batches[0] = {{41, 0, {}}};
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(1, "x");
    CHECK(broker.last(0) == 42);
}

TEST_CASE("no more batches of a partition are under way than the broker remembers") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(0, "first");
    for (std::uint64_t i = 1; i <= 20; ++i) {  // each of another durability than the one before: a batch for itself
        broker.m.publish(ticket{i}, "photos", {"", {}, "x"}, {i % 2 ? durability::disk : durability::memory});
        broker.turn();
        CHECK(broker.sent.size() <= producer_numbers::unanswered_max);
    }
    CHECK(broker.sent.size() == producer_numbers::unanswered_max);
    broker.run();
    CHECK(broker.last(0) == 21);
}

// The connection is lost after each step of a script, with all or some of the answers lost too, and again while it comes back.
TEST_CASE("whatever is lost and when: every message is there once, in order, and every publish ends well") {
    const auto lost_again = GENERATE(0, 1, 2, 3, 4, 5, 6);
    for (std::size_t cut_after = 0; cut_after < 40; ++cut_after) {
        for (std::size_t lost_answers = 0; lost_answers < 8; ++lost_answers) {
            INFO("cut after " << cut_after << " frames, the last " << lost_answers << " unanswered, again after " << lost_again);
            counting_broker broker(named());
            connect(broker);
            std::map<std::string, std::vector<std::string>> meant;
            std::uint64_t next = 0;
            const auto publish_some = [&](int count) {
                for (int i = 0; i < count; ++i, ++next) {
                    const std::string key(1, static_cast<char>('a' + next % 3));
                    meant[key].push_back(key + std::to_string(next));
                    broker.publish(next, meant[key].back(), key);
                    if (next % 2) broker.turn();
                }
            };
            std::size_t steps = 0;
            bool cut = false;
            while (!cut) {
                publish_some(3);
                broker.answers = steps + lost_answers < cut_after;
                const bool stepped = broker.step();
                cut = ++steps > cut_after || !stepped;
            }
            broker.cut();
            publish_some(2);
            broker.turn();
            if (lost_again > 0) {  // once more, while it comes back
                broker.come_back();
                for (int i = 0; i < lost_again; ++i) {
                    broker.answers = i + 1 < lost_again;
                    broker.step();
                }
                broker.cut();
                publish_some(2);
            }
            broker.come_back();
            broker.run();
            publish_some(3);
            broker.turn();
            broker.run();
            REQUIRE(broker.endings.empty());
            REQUIRE(broker.done.size() == next);
            for (const auto& [operation, outcomes] : broker.done) {
                REQUIRE(outcomes.size() == 1);
                REQUIRE_FALSE(outcomes[0].refused);
            }
            for (const auto& [key, payloads] : meant) REQUIRE(of_key(broker, key) == payloads);
        }
    }
}

TEST_CASE("a batch that the broker has taken is sent again byte for byte under its number, in the new epoch") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(1, "one");
    broker.publish(2, "two");
    broker.turn();
    const auto before = broker.sent.front();
    broker.answers = false;
    broker.run();
    broker.cut();
    broker.come_back();
    CHECK(broker.step());
    CHECK(broker.step());
    const auto again = broker.take(wire::Message::Publish);
    CHECK(again.body == before.body);
    CHECK(again.head().message_as_Publish()->number() == before.head().message_as_Publish()->number());
    CHECK(again.head().message_as_Publish()->producer_epoch() == 2);
    broker.sent.push_front(again);
    broker.run();
    CHECK(broker.numbers_resent == std::set<std::uint64_t>{2});
    CHECK(broker.only(2).at.value == 1);
    CHECK(broker.all() == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a message without a key that was lost on its way goes where it was meant for, not behind what was published later") {
    counting_broker broker(named());
    broker.partitions = 3;
    connect(broker);
    broker.publish_and_run(1, "first");
    auto key = std::string("a");
    while (XXH64(key.data(), key.size(), 0) % 3 != 0) ++key[0];
    broker.publish(2, "earlier");  // to another partition, of which the broker knows nothing yet
    broker.publish(3, "later", key);
    broker.turn();
    broker.cut();
    broker.come_back();
    broker.run();
    CHECK(broker.logs == std::map<std::uint32_t, std::vector<std::string>>{{0, {"first", "later"}}, {1, {"earlier"}}});
}

TEST_CASE("a topic that is made again while its producer returns gets everything in order") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(1, "one");
    broker.publish(2, "two");
    broker.turn();
    broker.answers = false;
    broker.run();
    broker.cut();
    broker.publish(3, "three");
    broker.come_back();
    broker.step();
    broker.step();  // it is told that "two" was taken
    broker.make_topic_again();
    broker.run();
    CHECK(broker.all() == std::vector<std::string>{"two", "three"});
    for (const auto operation : {2u, 3u}) CHECK_FALSE(broker.only(operation).refused);
}

TEST_CASE("a refused batch refuses those behind it in its partition, and the next one gets its number") {
    const auto refusal = GENERATE(errc::backlog_full, errc::disk_full, errc::durability_unavailable);
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(1, "one");
    broker.publish(2, "two");
    broker.turn();
    broker.publish(3, "three");
    broker.turn();
    REQUIRE(broker.sent.size() == 2);
    broker.refuse_next = refusal;
    broker.step();
    CHECK(broker.only(2).refused.code == refusal);
    CHECK(broker.only(3).refused.code == errc::batch_gap);
    CHECK(broker.only(3).refused.what.find(name_of(refusal)) != std::string::npos);
    broker.publish(4, "four");
    broker.turn();
    CHECK(broker.sent.size() == 2);  // the one that follows is not answered yet
    const auto lost = GENERATE(false, true);
    if (lost) {
        broker.cut();
        broker.come_back();
    }
    broker.run();
    CHECK_FALSE(broker.only(4).refused);
    CHECK(broker.last(0) == 2);
    CHECK(broker.all() == std::vector<std::string>{"one", "four"});
    CHECK(broker.done.at(3).size() == 1);
}

TEST_CASE("an unknown outcome is found out by coming back") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish(1, "one");
    broker.turn();
    broker.step();  // the topic
    const auto asked = broker.sent.front();
    broker.answers = false;
    broker.run();  // it is taken
    broker.sent.push_back(asked);
    broker.answers = true;
    broker.refuse(wire::Message::Publish, GENERATE(errc::outcome_unknown, errc::no_such_producer));
    CHECK_FALSE(broker.m.is_connected());
    CHECK(broker.done.empty());
    broker.sent.clear();
    broker.come_back();
    broker.run();
    CHECK_FALSE(broker.only(1).refused);
    CHECK(broker.all() == std::vector<std::string>{"one"});
}

TEST_CASE("who is fenced publishes no more and does not fight back") {
    counting_broker broker(named());
    connect(broker);
    broker.publish_and_run(1, "one");
    broker.m.subscribe(ticket{50}, "photos", "resize", {.credit_messages = 4});
    broker.turn();
    broker.subscribed();
    ++broker.epoch;  // somebody else has opened the producer
    broker.incarnation = 88;
    for (std::uint64_t i = 2; i < 12; ++i) {
        broker.publish(i, "no");
        broker.turn();
    }
    broker.run();
    for (std::uint64_t i = 2; i < 12; ++i) CHECK(broker.only(i).refused.code == errc::producer_fenced);
    CHECK_FALSE(broker.m.is_over());
    broker.publish(12, "no");
    broker.turn();
    CHECK(broker.only(12).refused.code == errc::producer_fenced);
    CHECK(broker.sent.empty());
    broker.cut();
    broker.come_back();
    CHECK(broker.step());
    CHECK(broker.sent.front().kind() == wire::Message::Subscribe);  // consumers go on; the producer is not opened again
    broker.subscribed();
    CHECK(broker.sent.empty());
    CHECK(broker.welcomes == 2);
}

TEST_CASE("who was away while another opened the producer is fenced when it comes back, and fences nobody") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(1, "one");
    broker.publish(2, "two");
    broker.turn();
    broker.cut();
    ++broker.epoch;
    broker.incarnation = 88;
    const auto epoch = broker.epoch;
    broker.publish(3, "three");
    broker.come_back();
    broker.run();
    CHECK(broker.epoch == epoch);
    CHECK(broker.welcomes == 2);
    for (const auto operation : {2u, 3u}) {
        CHECK(broker.only(operation).refused.code == errc::producer_fenced);
        CHECK(broker.done.at(operation).size() == 1);
    }
    CHECK(broker.all() == std::vector<std::string>{"one"});
}

TEST_CASE("publishes that time out while the connection is away end once, their batch is not sent when the broker has it") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(1, "one");
    broker.publish(2, "two");
    broker.turn();
    const auto taken = GENERATE(true, false);
    broker.answers = false;
    if (taken) broker.run();
    broker.cut();
    broker.pass(10s);
    broker.publish(3, "three");
    CHECK(broker.m.next_deadline() == broker.now + 20s);
    broker.pass(20s);
    CHECK(broker.only(2).refused.code == errc::timed_out);
    CHECK(broker.m.next_deadline() == broker.now + 10s);
    broker.come_back();
    broker.run();
    CHECK_FALSE(broker.only(3).refused);
    CHECK(broker.done.at(2).size() == 1);
    CHECK(broker.numbers_resent.empty());
    CHECK(broker.all() == (taken ? std::vector<std::string>{"one", "two", "three"} : std::vector<std::string>{"one", "three"}));
}

TEST_CASE("a batch given up on a living connection is answered late, and the numbers go on") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    broker.publish(1, "one");
    broker.turn();
    broker.step();
    auto late = broker.take(wire::Message::Publish);
    for (int i = 0; i < 4; ++i) {
        broker.pass(9s);
        broker.push(wire::CreatePong(broker.builder()));
        broker.sent.clear();
    }
    CHECK(broker.only(1).refused.code == errc::timed_out);
    broker.publish(2, "two");
    broker.turn();
    broker.sent.push_front(late);
    broker.run();
    CHECK_FALSE(broker.only(2).refused);
    CHECK(broker.done.at(1).size() == 1);
    CHECK(broker.all() == std::vector<std::string>{"one", "two"});
}

TEST_CASE("what the broker's store has lost is sent again under the next number it takes") {
    counting_broker broker(named());
    broker.partitions = 1;
    connect(broker);
    for (std::uint64_t i = 1; i <= 3; ++i) {
        broker.publish_and_run(i, std::to_string(i));
    }
    broker.publish(4, "4");
    broker.turn();
    broker.cut();
    const auto forgets_all = GENERATE(false, true);  // as a restored backup, as memory:
    broker.batches[0].resize(forgets_all ? 0 : 1);
    broker.logs[0].resize(forgets_all ? 0 : 1);
    broker.come_back();
    broker.run();
    CHECK_FALSE(broker.only(4).refused);
    CHECK(broker.last(0) == (forgets_all ? 1 : 2));
    CHECK(broker.all().back() == "4");
}

TEST_CASE("without resending, unanswered publishes end with the connection, and the numbers go on") {
    counting_broker broker(named(true, false));
    broker.partitions = 1;
    connect(broker);
    broker.publish_and_run(1, "one");
    broker.publish(2, "two");
    broker.turn();
    const auto taken = GENERATE(true, false);
    broker.answers = false;
    if (taken) broker.run();
    broker.cut();
    CHECK(broker.only(2).refused.code == errc::connection_lost);
    broker.come_back();
    broker.publish(3, "three");
    broker.run();
    CHECK_FALSE(broker.only(3).refused);
    CHECK(broker.last(0) == (taken ? 3 : 2));
}

TEST_CASE("a refused opening is the end of a first connection, and only a setback of a later one") {
    counting_broker first(named());
    first.m.connected(first.now);
    first.turn();
    first.step();
    first.refuse(wire::Message::OpenProducer, errc::invalid_name, "bad");
    CHECK(first.endings == std::vector<error>{{errc::invalid_name, "bad"}});

    counting_broker slow(named());
    slow.m.connected(slow.now);
    slow.turn();
    slow.step();
    CHECK(slow.m.next_deadline() == slow.now + 5s);
    slow.pass(5s);
    CHECK(slow.endings.at(0).code == errc::timed_out);

    counting_broker later(named());
    connect(later);
    later.cut();
    later.come_back();
    later.step();
    later.refuse(wire::Message::OpenProducer, errc::storage_failure);
    CHECK(later.endings.empty());
    later.sent.clear();
    later.come_back();
    later.run();
    CHECK(later.welcomes == 2);
}
