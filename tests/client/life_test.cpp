// A connection's life, and every script replayed with the connection failing at each of its steps.
#include <catch2/catch.hpp>

#include <functional>
#include <set>

#include "tests/client/scripted_broker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

using step = std::function<void(scripted_broker&)>;

void finish_topic_info(scripted_broker& broker, wire::Message asked) {
    broker.answer_with(asked, wire::CreateTopicInfoDirect(broker.builder(), "photos", 5));
}

/// Asks for one of everything, and answers it.
std::vector<step> everything() {
    constexpr consumer_number first{1};
    return {
        [](auto& s) { s.greet(); },
        [](auto& s) { s.m.ask(ticket{1}, create_topic{"photos", {.partitions = 2}}); s.turn(); },
        [](auto& s) { finish_topic_info(s, wire::Message::CreateTopic); },
        [](auto& s) { s.m.ask(ticket{2}, list_topics{}); s.m.ask(ticket{3}, describe_subscription{"photos", "resize"}); s.turn(); },
        [](auto& s) { s.refuse(wire::Message::DescribeSubscription, errc::no_such_subscription); },
        [](auto& s) { s.answer_with(wire::Message::ListTopics, wire::CreateTopics(s.builder())); },
        [](auto& s) { s.m.publish(ticket{4}, "photos", {"k", {}, "parked"}); s.turn(); },
        [](auto& s) { s.know_topic("photos", 5, 2); },
        [](auto& s) { for (std::uint64_t i = 5; i < 10; ++i) { s.m.publish(ticket{i}, "photos", {"", {}, "x"}); s.turn(); } },
        [](auto& s) { s.refuse(wire::Message::Publish, errc::no_such_topic); },
        [](auto& s) { s.publish_done(1); },
        [](auto& s) { s.know_topic("photos", 6, 2); },
        [](auto& s) { while (s.count(wire::Message::Publish) > 0) s.publish_done(9); },
        [](auto& s) { s.m.publish(ticket{30}, "photos", {"", {}, std::string(limits::message_bytes + 1, 'x')}); },
        [](auto& s) { s.m.subscribe(ticket{10}, "photos", "resize", {.credit_messages = 8}); s.turn(); },
        [](auto& s) { s.answer_with(wire::Message::Subscribe, wire::CreateSubscribed(s.builder(), 6, 1, 30'000)); },
        [](auto& s) { s.deliver(first, 0, 0, {{"", {}, "a"}, {"", {}, "b"}, {"", {}, "c"}, {"", {}, "d"}}); },
        [](auto& s) { for (auto i : {0u, 1u, 2u}) { s.m.ack(first, s.deliveries[i]); s.m.settle(ticket{11 + i}, first); s.turn(); } },
        [](auto& s) { s.acked(); },
        [](auto& s) { s.acked(); },
        [](auto& s) {
            s.deliver(first, 0, 4, {{"", {}, "e"}, {"", {}, "f"}, {"", {}, "g"}, {"", {}, "h"}});
            for (auto i : {4u, 5u, 6u, 7u}) s.m.start(first, s.deliveries[i]);
            s.turn();
        },
        [](auto& s) { s.m.extend(ticket{15}, first, s.deliveries[4]); s.turn(); },
        [](auto& s) { s.handed_in(wire::Message::Extend); },
        [](auto& s) {
            s.m.nack(first, s.deliveries[4], "broken");
            s.m.reject(first, s.deliveries[5], "hopeless");
            s.m.release(first, s.deliveries[6]);
            s.m.settle(ticket{16}, first);
            s.turn();
        },
        [](auto& s) { s.handed_in(wire::Message::Nack); },
        [](auto& s) { s.handed_in(wire::Message::Reject); },
        [](auto& s) { s.handed_in(wire::Message::Release); },
        [](auto& s) { s.m.ask(ticket{20}, peek{"photos", {}}); s.turn(); },
        [](auto& s) {
            const auto body = records_of({{"", {}, "a"}});
            const std::vector<wire::Run> runs{wire::Run(0, 0, 0, 1, static_cast<std::uint32_t>(body.size()), 0)};
            s.answer_with(wire::Message::Peek, wire::CreatePeekedDirect(s.builder(), 0, 1, &runs), body);
        },
        [](auto& s) { s.m.unsubscribe(ticket{21}, first); s.turn(); },
        [](auto& s) { s.acked(); },
        [](auto& s) { s.answer_with(wire::Message::Unsubscribe, wire::CreateOk(s.builder())); },
        [](auto& s) { s.m.publish(ticket{22}, "photos", {"", {}, "last"}); s.m.ask(ticket{23}, purge_topic{"photos"}); s.m.close(); s.turn(); },
        [](auto& s) { s.publish_done(10); },
        [](auto& s) { s.answer_with(wire::Message::PurgeTopic, wire::CreateOk(s.builder())); s.turn(); },
    };
}

const std::set<std::uint64_t> all_tickets{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 20, 21, 22, 23, 30};

/// Those that the script asks for in its steps from this one on.
std::set<std::uint64_t> asked_from(std::size_t first) {
    const std::vector<std::pair<std::size_t, std::vector<std::uint64_t>>> asks{{1, {1}},   {3, {2, 3}},        {6, {4}},  {8, {5, 6, 7, 8, 9}},
                                                                               {13, {30}}, {14, {10}},         {17, {11, 12, 13}}, {21, {15}},
                                                                               {23, {16}}, {27, {20}},         {29, {21}}, {32, {22, 23}}};
    std::set<std::uint64_t> later;
    for (const auto& [at, tickets] : asks)
        if (at >= first) later.insert(tickets.begin(), tickets.end());
    return later;
}

/// Says yes to whatever is asked, until nothing is.
void answer_all(scripted_broker& s) {
    while (std::any_of(s.sent.begin(), s.sent.end(), [](const sent_frame& f) { return f.id() != 0; })) {
        if (s.count(wire::Message::Metadata) > 0) s.know_topic("photos", 5, 2);
        while (s.count(wire::Message::Publish) > 0) s.publish_done(50);
        while (s.count(wire::Message::Subscribe) > 0) s.subscribed();
        for (const auto kind : {wire::Message::Ack, wire::Message::Nack, wire::Message::Reject, wire::Message::Release})
            while (s.count(kind) > 0) s.handed_in(kind);
        while (s.count(wire::Message::Unsubscribe) > 0) s.answer_with(wire::Message::Unsubscribe, wire::CreateOk(s.builder()));
        s.turn();
    }
    s.turn();
}

struct failure {
    const char* name;
    step happen;
    errc expected;
};

std::vector<failure> failures() {
    return {
        {"the transport ends", [](auto& s) { s.m.lost({}); s.turn(); }, errc::connection_lost},
        {"goodbye", [](auto& s) { s.goodbye(errc::shutting_down, "draining"); }, errc::shutting_down},
        {"nonsense", [](auto& s) { s.feed_bytes(std::vector<std::byte>(64, std::byte{0x5a})); }, errc::frame_too_large},
        {"an answer nobody asked for", [](auto& s) {
             std::vector<std::byte> bytes;
             proto::append_frame(s.builder(), 4711, wire::CreateOk(s.builder()), 0, bytes);
             s.feed_bytes(bytes);
         }, errc::malformed_frame},
        {"the wrong answer to a request", [](auto& s) {
             const auto waiting = std::find_if(s.sent.begin(), s.sent.end(), [](const sent_frame& f) { return f.id() != 0; });
             std::vector<std::byte> bytes;
             proto::append_frame(s.builder(), waiting == s.sent.end() ? 4711 : waiting->id(), wire::CreateWelcome(s.builder()), 0, bytes);
             s.feed_bytes(bytes);
         }, errc::malformed_frame},
        {"silence", [](auto& s) { for (int i = 0; i < 100 && !s.m.is_over(); ++i) s.pass(1s); }, errc::idle_timeout},
    };
}

}  // namespace

TEST_CASE("the script of everything runs to its end") {
    scripted_broker broker;
    for (const auto& run : everything()) run(broker);
    REQUIRE(broker.endings.size() == 1);
    CHECK_FALSE(broker.endings[0]);
    std::set<std::uint64_t> seen;
    for (const auto& [operation, outcomes] : broker.done) {
        CHECK(outcomes.size() == 1);
        seen.insert(operation);
        if (operation != 3 && operation != 30) CHECK_FALSE(outcomes[0].refused);
    }
    CHECK(seen == all_tickets);
    CHECK(broker.m.next_deadline() == never);
}

TEST_CASE("a failure at any step ends every operation once, with its reason") {
    const auto script = everything();
    for (const auto& fault : failures()) {
        for (std::size_t failing = 1; failing < script.size(); ++failing) {
            INFO(fault.name << " after step " << failing);
            scripted_broker broker;
            for (std::size_t i = 0; i < failing; ++i) script[i](broker);
            const auto before = broker.done;
            fault.happen(broker);
            broker.turn();
            REQUIRE(broker.m.is_over());
            REQUIRE(broker.endings.size() == 1);
            const bool timed_out_first = fault.expected == errc::idle_timeout;
            CHECK(broker.endings[0].code == fault.expected);
            for (const auto& [operation, outcomes] : broker.done) {
                INFO("operation " << operation);
                CHECK(outcomes.size() == 1);
                if (before.count(operation) || operation == 30) continue;
                CHECK((outcomes[0].refused.code == fault.expected || (timed_out_first && outcomes[0].refused.code == errc::timed_out)));
            }
            // What the next steps ask for is refused at once.
            broker.m.publish(ticket{100}, "photos", {});
            broker.m.ask(ticket{101}, list_topics{});
            broker.m.subscribe(ticket{102}, "photos", "resize", {});
            broker.m.unsubscribe(ticket{103}, consumer_number{1});
            broker.m.settle(ticket{104}, consumer_number{1});
            broker.turn();
            for (std::uint64_t operation = 100; operation < 105; ++operation) CHECK(broker.only(operation).refused.code == fault.expected);
            CHECK(broker.m.next_deadline() == never);
            CHECK_FALSE(broker.m.has_output());
        }
    }
}

TEST_CASE("each step's operations are ended by the loss right after it") {
    const auto script = everything();
    for (std::size_t failing = 1; failing <= script.size(); ++failing) {
        scripted_broker whole, cut;
        for (std::size_t i = 0; i < failing; ++i) {
            script[i](whole);
            script[i](cut);
        }
        cut.m.lost({});
        cut.turn();
        for (std::size_t i = failing; i < script.size(); ++i) script[i](whole);
        // Every ticket that the whole run asked for by then was answered by the cut one: none hangs.
        const auto later = asked_from(failing);
        for (const auto operation : all_tickets) CHECK(cut.done.count(operation) == (later.count(operation) ? 0u : 1u));
    }
}

TEST_CASE("when the connection comes back after any step, every operation ends once, at the latest when it is closed") {
    const auto script = everything();
    machine_settings settings;
    settings.reconnects = true;
    for (const auto& fault : failures()) {
        if (fault.expected == errc::malformed_frame || fault.expected == errc::frame_too_large) continue;  // these would repeat themselves
        for (std::size_t failing = 1; failing < script.size(); ++failing) {
            INFO(fault.name << " after step " << failing);
            scripted_broker broker(settings);
            for (std::size_t i = 0; i < failing; ++i) script[i](broker);
            for (int i = 0; i < 100 && broker.m.is_connected(); ++i) fault.happen(broker);
            broker.turn();
            broker.sent.clear();
            if (!broker.m.is_over()) {
                broker.greet();
                answer_all(broker);
                broker.m.close();
                broker.turn();
                answer_all(broker);
            }
            REQUIRE(broker.endings.size() == 1);
            const auto later = asked_from(failing);
            for (const auto operation : all_tickets) {
                INFO("operation " << operation);
                CHECK((broker.done.count(operation) ? broker.done.at(operation).size() : 0) == (later.count(operation) ? 0u : 1u));
            }
            CHECK(broker.m.next_deadline() == never);
        }
    }
}

TEST_CASE("the hello names the version and the token, and times out") {
    machine_settings settings;
    settings.token = "secret";
    settings.name = "uploader";
    scripted_broker broker(settings);
    broker.m.connected(broker.now);
    broker.turn();
    const auto hello = broker.take(wire::Message::Hello);
    CHECK(hello.head().message_as_Hello()->version_max() == proto::protocol_version);
    CHECK(hello.head().message_as_Hello()->token()->str() == "secret");
    CHECK(broker.m.next_deadline() == broker.now + 5s);
    broker.m.ask(ticket{1}, list_topics{});
    broker.turn();
    CHECK(broker.only(1).refused.code == errc::connection_lost);
    broker.pass(5s);
    REQUIRE(broker.endings.size() == 1);
    CHECK(broker.endings[0].code == errc::timed_out);
}

TEST_CASE("a broker of another version is refused") {
    scripted_broker broker;
    broker.m.connected(broker.now);
    broker.turn();
    broker.answer_with(wire::Message::Hello, wire::CreateWelcome(broker.builder(), 2));
    REQUIRE(broker.endings.size() == 1);
    CHECK(broker.endings[0].code == errc::unsupported_version);
    CHECK(broker.welcomes == 0);
}

TEST_CASE("an idle connection pings in time and lives as long as it is answered") {
    scripted_broker broker;
    broker.greet({.idle_timeout = 30'000});
    CHECK(broker.m.next_deadline() == broker.now + 10s);
    for (int i = 0; i < 20; ++i) {
        broker.pass(9'999ms);
        CHECK(broker.count(wire::Message::Ping) == 0);
        broker.pass(1ms);
        REQUIRE(broker.count(wire::Message::Ping) == 1);
        broker.sent.clear();
        broker.push(wire::CreatePong(broker.builder()));
    }
    CHECK(broker.endings.empty());
    broker.pass(29'999ms);
    CHECK(broker.endings.empty());
    broker.pass(1ms);
    REQUIRE(broker.endings.size() == 1);
    CHECK(broker.endings[0].code == errc::idle_timeout);
}

TEST_CASE("a broker's ping is answered") {
    scripted_broker broker;
    broker.greet();
    broker.push(wire::CreatePing(broker.builder()));
    CHECK(broker.count(wire::Message::Pong) == 1);
}

TEST_CASE("a request that is not answered times out once, its late answer is not mistaken for another") {
    scripted_broker broker;
    broker.greet({.idle_timeout = 0});
    broker.m.ask(ticket{1}, list_topics{});
    broker.turn();
    CHECK(broker.m.next_deadline() == broker.now + 30s);
    broker.pass(30s);
    CHECK(broker.only(1).refused.code == errc::timed_out);
    broker.m.ask(ticket{2}, list_topics{});
    broker.turn();
    broker.answer_with(wire::Message::ListTopics, wire::CreateTopics(broker.builder(), 0, true));
    CHECK(broker.done.count(2) == 0);
    broker.answer_with(wire::Message::ListTopics, wire::CreateTopics(broker.builder(), 0, false));
    CHECK_FALSE(std::get<name_list>(broker.only(2).content).more);
    CHECK(broker.endings.empty());
}

TEST_CASE("closing takes nothing new, gives consumers back and ends when all is answered") {
    scripted_broker broker;
    broker.greet();
    broker.m.subscribe(ticket{1}, "photos", "resize", {});
    broker.turn();
    broker.answer_with(wire::Message::Subscribe, wire::CreateSubscribed(broker.builder(), 5, 1, 30'000));
    broker.m.ask(ticket{2}, list_topics{});
    broker.m.close();
    broker.m.ask(ticket{3}, list_topics{});
    broker.turn();
    CHECK(broker.only(3).refused.code == errc::canceled);
    broker.answer_with(wire::Message::ListTopics, wire::CreateTopics(broker.builder()));
    CHECK(broker.endings.empty());
    broker.answer_with(wire::Message::Unsubscribe, wire::CreateOk(broker.builder()));
    broker.turn();
    REQUIRE(broker.endings.size() == 1);
    CHECK_FALSE(broker.endings[0]);
}

TEST_CASE("closing ends consumers at once, and one that is still being opened as soon as it is") {
    scripted_broker broker;
    broker.greet();
    broker.m.subscribe(ticket{1}, "photos", "resize", {});
    broker.turn();
    broker.subscribed();
    broker.m.subscribe(ticket{2}, "photos", "resize", {});
    broker.turn();
    broker.m.close();
    broker.turn();
    REQUIRE(broker.ended_consumers.size() == 1);
    CHECK(broker.ended_consumers[0].consumer == consumer_number{1});
    CHECK(broker.ended_consumers[0].reason.code == errc::canceled);
    broker.answer_with(wire::Message::Unsubscribe, wire::CreateOk(broker.builder()));
    CHECK(broker.endings.empty());
    broker.subscribed();
    CHECK_FALSE(broker.only(2).refused);
    REQUIRE(broker.ended_consumers.size() == 2);
    CHECK(broker.ended_consumers[1].consumer == consumer_number{2});
    broker.answer_with(wire::Message::Unsubscribe, wire::CreateOk(broker.builder()));
    broker.turn();
    CHECK(broker.endings.size() == 1);
}

TEST_CASE("closing does not wait for answers that did not come in time") {
    scripted_broker broker;
    broker.greet({.idle_timeout = 0});
    broker.m.subscribe(ticket{1}, "photos", "resize", {});
    broker.turn();
    broker.subscribed();
    broker.deliver(consumer_number{1}, 0, 0, {{"", {}, "a"}});
    broker.m.publish(ticket{2}, "photos", {"", {}, "x"});
    broker.turn();
    broker.know_topic("photos", 5, 1);
    broker.m.ack(consumer_number{1}, broker.deliveries[0]);
    broker.m.settle(ticket{3}, consumer_number{1});
    broker.m.ask(ticket{4}, list_topics{});
    broker.m.close();
    broker.turn();
    CHECK(broker.endings.empty());
    broker.pass(30s);
    broker.turn();
    for (const auto operation : {2u, 3u, 4u}) CHECK(broker.only(operation).refused.code == errc::timed_out);
    REQUIRE(broker.endings.size() == 1);
    CHECK(broker.endings[0].code == errc::timed_out);
}

TEST_CASE("the bytes may come in any pieces") {
    for (std::size_t piece = 1; piece < 40; piece += 3) {
        scripted_broker broker;
        broker.m.connected(broker.now);
        broker.turn();
        std::vector<std::byte> bytes;
        auto& b = broker.builder();
        proto::append_frame(b, broker.take(wire::Message::Hello).id(), wire::CreateWelcome(b, 1), 0, bytes);
        proto::append_frame(b, 0, wire::CreatePing(b), 0, bytes);
        std::span<const std::byte> rest(bytes);
        while (!rest.empty()) {
            const auto n = std::min(piece, rest.size());
            broker.feed_bytes(rest.first(n));
            rest = rest.subspan(n);
        }
        CHECK(broker.welcomes == 1);
        CHECK(broker.count(wire::Message::Pong) == 1);
    }
}

TEST_CASE("an answer with damaged content ends its request too") {
    scripted_broker broker;
    broker.greet();
    broker.m.ask(ticket{1}, peek{"photos", {}});
    broker.turn();
    auto body = records_of({{"", {}, "a"}});
    body[body.size() - 9] ^= std::byte{1};
    const std::vector<wire::Run> runs{wire::Run(0, 0, 0, 1, static_cast<std::uint32_t>(body.size()), 0)};
    broker.answer_with(wire::Message::Peek, wire::CreatePeekedDirect(broker.builder(), 0, 1, &runs), body);
    broker.turn();
    REQUIRE(broker.done.count(1) == 1);
    CHECK(broker.only(1).refused.code == errc::checksum_mismatch);
    CHECK(broker.endings.size() == 1);
}
