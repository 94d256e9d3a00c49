// What a broker sends to a client, true or not: answers with any values, pushes that fit and pushes that do not, bytes that are no frames, silence, and
// connections that are lost and come back. Whatever it hears, each operation ends in exactly one event, what is delivered was sent, and what the client
// says is well-formed.
#include "tests/client/scripted_broker.hpp"
#include "tests/fuzz/requests.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

proto::record_encoder encoder;  // keeps its memory, as those of clients do

namespace lib = millrace::client;
using namespace std::chrono_literals;

lib::machine_settings any_settings(choices& c) {
    lib::machine_settings s;
    const auto kind = c.byte();
    s.reconnects = kind & 1;
    s.resends = kind & 2;
    if (kind & 4) s.publishing.producer = "me";
    if (kind & 8) s.publishing.linger = 5ms;
    if (kind & 16) s.publishing.compression = proto::compression::lz4;
    s.incarnation = 1;
    return s;
}

class conversation {
public:
    explicit conversation(choices& c) : c_(c), broker_(any_settings(c)) {
        broker_.m.connected(broker_.now);
        broker_.turn();
    }

    bool over() const { return broker_.m.is_over(); }

    void act() {
        if (!broker_.m.is_connected() && !over() && c_.one_in(2)) {
            broker_.now += broker_.m.next_pause();
            broker_.m.time_passed(broker_.now);
            broker_.m.connected(broker_.now);
        }
        const auto what = c_.below(32);
        if (what < 12) answer();
        else if (what < 16) push();
        else if (what < 17) broker_.feed_bytes(bytes_of(c_.bytes(100)));
        else if (what < 18) lose();
        else if (what < 20) broker_.pass(std::chrono::milliseconds(c_.one_in(8) ? 40'000 : c_.below(2'000)));
        else use();
        broker_.turn();
        expect_once();
    }

    /// The client leaves, and the broker does not answer any more.
    void end() {
        broker_.m.close();
        broker_.turn();
        if (broker_.m.is_connected()) broker_.m.lost({});
        broker_.turn();
        for (int i = 0; i < 100 && !over(); ++i) broker_.pass(1h);
        must(over() && broker_.endings.size() == 1, "a client that was closed ends, once");
        expect_once();
        for (std::uint64_t t = 1; t <= last_ticket_; ++t) must(broker_.done.contains(t), "every operation ends", names_[t]);
    }

private:
    void expect_once() {
        for (const auto& [t, outcomes] : broker_.done) must(outcomes.size() == 1, "no operation ends twice", names_[t]);
        must(broker_.endings.size() <= 1, "nothing ends twice");
    }

    lib::ticket next(const char* what) {
        names_[++last_ticket_] = what;
        return lib::ticket{last_ticket_};
    }

    void lose() {
        if (!broker_.m.is_connected()) return;
        broker_.cut();
    }

    // ---- what a program does with the client ----

    void use() {
        auto& m = broker_.m;
        switch (c_.below(16)) {
            case 0:
            case 1:
            case 2: return publish();
            case 3: {
                lib::subscribe_options options;
                options.credit_messages = static_cast<std::uint32_t>(1 + c_.below(8));
                options.credit_bytes = 1 + c_.below(2000);
                const auto topic = any_name(c_);
                last_consumer_ = m.subscribe(next("subscribe"), topic, any_name(c_), options);
                return;
            }
            case 4: return ask();
            case 5: return m.settle(next("settle"), last_consumer_);
            case 6: if (c_.one_in(4)) m.unsubscribe(next("unsubscribe"), last_consumer_); return;
            case 7: if (c_.one_in(8)) m.stop(last_consumer_); return;
            case 8: if (c_.one_in(64)) m.close(); return;
            default: return handle();
        }
    }

    void publish() {
        message msg;
        msg.payload = std::string(c_.one_in(8) ? c_.below(3000) : c_.below(20), 'p');
        if (c_.one_in(4)) msg.key = c_.text(4);
        if (c_.one_in(32)) msg.headers.push_back({"", "no name"});
        const auto least = static_cast<durability>(c_.one_in(8) ? c_.below(4) : 0);
        broker_.m.publish(next("publish"), any_name(c_), std::move(msg), {least});
    }

    void ask() {
        switch (c_.below(6)) {
            case 0: return broker_.m.ask(next("create_topic"), lib::create_topic{any_name(c_), {}});
            case 1: return broker_.m.ask(next("describe_topic"), lib::describe_topic{any_name(c_)});
            case 2: return broker_.m.ask(next("list_topics"), lib::list_topics{any_name(c_), 10});
            case 3: return broker_.m.ask(next("describe_subscription"), lib::describe_subscription{any_name(c_), "a"});
            case 4: return broker_.m.ask(next("delete_topic"), lib::delete_topic{any_name(c_), true});
            default: return broker_.m.ask(next("peek"), lib::peek{any_name(c_), {}});
        }
    }

    void handle() {
        if (broker_.deliveries.empty()) return;
        const auto& d = broker_.deliveries[c_.below(broker_.deliveries.size())];
        const auto to = c_.one_in(8) ? lib::consumer_number{static_cast<std::uint32_t>(c_.below(4))} : last_consumer_;
        switch (c_.below(8)) {
            case 0:
            case 1: broker_.m.start(to, d); return;
            case 2: return broker_.m.nack(to, d, "why");
            case 3: return broker_.m.reject(to, d, "why");
            case 4: return broker_.m.release(to, d);
            case 5: return broker_.m.extend(next("extend"), to, d);
            case 6: return broker_.m.set_aside(to, d);
            default: return broker_.m.ack(to, d);
        }
    }

    // ---- what a broker says ----

    void answer() {
        if (broker_.sent.empty()) return;
        const auto which = c_.one_in(4) ? c_.below(broker_.sent.size()) : 0;
        const auto asked = std::move(broker_.sent[which]);
        broker_.sent.erase(broker_.sent.begin() + static_cast<std::ptrdiff_t>(which));
        const auto id = c_.one_in(64) ? c_.number() : asked.id();
        if (c_.one_in(8)) return refuse(id);
        reply(id, c_.one_in(32) ? static_cast<wire::Message>(c_.below(44)) : asked.kind(), asked);
    }

    void refuse(std::uint64_t id) {
        static constexpr errc codes[] = {errc::no_such_topic, errc::topic_exists, errc::disk_full, errc::outcome_unknown, errc::batch_gap, errc::producer_fenced,
                                         errc::backlog_full, errc::lease_lost, errc::shutting_down, errc::unauthorized, errc::invalid_argument, errc::ok};
        const auto code = c_.one_in(8) ? static_cast<std::uint16_t>(c_.below(300)) : static_cast<std::uint16_t>(codes[c_.below(std::size(codes))]);
        broker_.feed(id, wire::CreateFailed(b_(), code, c_.one_in(4) ? 0 : b_().CreateString("no")), {});
    }

    void reply(std::uint64_t id, wire::Message asked, const lib::sent_frame& question) {
        using enum wire::Message;
        switch (asked) {
            case Hello: return welcome(id);
            case Ping: return broker_.feed(id, wire::CreatePong(b_()), {});
            case Metadata: return places(id, question);
            case Publish: {
                const auto first = c_.number();
                return broker_.feed(id, wire::CreatePublished(b_(), first, static_cast<wire::Durability>(c_.below(5))), {});
            }
            case OpenProducer: return producer_opened(id);
            case Subscribe: {
                const auto lost = ranges();
                const auto timeout = c_.one_in(8) ? c_.number() : 30'000;
                return broker_.feed(id, wire::CreateSubscribed(b_(), 5, 1, timeout, lost), {});
            }
            case Ack:
            case Nack:
            case Reject:
            case Release:
            case Extend: {
                const auto lost = ranges();
                return broker_.feed(id, wire::CreateAcked(b_(), lost, ranges()), {});
            }
            case CreateTopic:
            case DescribeTopic: return topic_info(id);
            case ListTopics: return names(id);
            case DescribeSubscription: return subscription_info(id);
            case Peek: return runs_of([&](auto runs, const auto& body) { broker_.feed(id, wire::CreatePeeked(b_(), 0, 100, runs), body); });
            default: return broker_.feed(id, wire::CreateOk(b_()), {});
        }
    }

    void welcome(std::uint64_t id) {
        const auto messages = static_cast<std::uint32_t>(c_.one_in(4) ? c_.number() : 100);
        const auto bytes = c_.one_in(4) ? c_.number() : 10'000;
        const auto message_bytes = static_cast<std::uint32_t>(c_.one_in(8) ? c_.number() : 8u << 20);
        const auto idle = static_cast<std::uint32_t>(c_.one_in(4) ? c_.number() : 30'000);
        const auto version = static_cast<std::uint16_t>(c_.one_in(32) ? c_.number() : 1);
        broker_.feed(id, wire::CreateWelcome(b_(), version, 0, 0, 7, 9, wire::Durability::disk, messages, bytes, 16u << 20, message_bytes, idle, 11), {});
    }

    void places(std::uint64_t id, const lib::sent_frame& question) {
        std::vector<flatbuffers::Offset<wire::TopicPlaces>> topics;
        std::vector<std::string> named;
        if (question.kind() == wire::Message::Metadata && question.head().message_as_Metadata()->topics())
            for (const auto* t : *question.head().message_as_Metadata()->topics()) named.push_back(t->str());
        if (c_.one_in(8)) named.push_back(any_name(c_));
        if (c_.one_in(16) && !named.empty()) named.pop_back();
        for (const auto& n : named) {
            const auto partitions = c_.one_in(8) ? c_.below(40) : 2;
            const std::vector<std::uint32_t> owners(partitions, c_.one_in(8) ? 77 : 0);
            const auto name = b_().CreateString(n);
            const auto list = b_().CreateVector(owners);
            topics.push_back(wire::CreateTopicPlaces(b_(), name, 5, list, c_.one_in(8) ? static_cast<std::uint16_t>(errc::no_such_topic) : std::uint16_t{0}));
        }
        const auto list = b_().CreateVector(topics);
        broker_.feed(id, wire::CreateMetadataOk(b_(), 1, 0, list), {});
    }

    void producer_opened(std::uint64_t id) {
        std::vector<wire::ProducerPosition> positions;
        for (auto count = c_.below(3); count > 0; --count) {
            const auto number = c_.number();
            positions.emplace_back(number, 5, static_cast<std::uint32_t>(c_.below(3)));
        }
        const auto list = b_().CreateVectorOfStructs(positions);
        const auto producer = c_.number();
        broker_.feed(id, wire::CreateProducerOpened(b_(), producer, static_cast<std::uint32_t>(c_.number()), list), {});
    }

    void topic_info(std::uint64_t id) {
        std::vector<flatbuffers::Offset<wire::PartitionInfo>> partitions;
        for (auto count = c_.below(4); count > 0; --count) partitions.push_back(wire::CreatePartitionInfo(b_(), 0, 1, 2, 3, 4));
        const auto name = c_.one_in(8) ? 0 : b_().CreateString(any_name(c_));
        const auto list = c_.one_in(8) ? 0 : b_().CreateVector(partitions);
        broker_.feed(id, wire::CreateTopicInfo(b_(), name, 5, 1, 0, list, 0), {});
    }

    void subscription_info(std::uint64_t id) {
        std::vector<flatbuffers::Offset<wire::ProgressInfo>> partitions;
        for (auto count = c_.below(4); count > 0; --count) partitions.push_back(wire::CreateProgressInfo(b_(), 0, c_.number()));
        const auto list = c_.one_in(8) ? 0 : b_().CreateVector(partitions);
        broker_.feed(id, wire::CreateSubscriptionInfo(b_(), 0, 0, 1, 1, 0, 0, list, 0), {});
    }

    void names(std::uint64_t id) {
        std::vector<flatbuffers::Offset<flatbuffers::String>> all;
        for (auto count = c_.below(4); count > 0; --count) all.push_back(b_().CreateString(any_name(c_)));
        const auto list = c_.one_in(8) ? 0 : b_().CreateVector(all);
        broker_.feed(id, wire::CreateTopics(b_(), list, c_.one_in(2)), {});
    }

    void push() {
        const auto consumer = c_.one_in(16) ? static_cast<std::uint32_t>(c_.number()) : static_cast<std::uint32_t>(last_consumer_);
        if (c_.one_in(16)) return broker_.feed(0, wire::CreateConsumerEnded(b_(), consumer, 60, c_.one_in(2) ? 0 : b_().CreateString("gone")), {});
        if (c_.one_in(64)) return broker_.feed(0, wire::CreateGoodbye(b_(), static_cast<std::uint16_t>(c_.below(128)), 0), {});
        runs_of([&](auto runs, const auto& body) { broker_.feed(0, wire::CreateDeliver(b_(), consumer, runs), body); });
    }

    /// Mostly what a broker may send: the credit is not counted, so that the client has to.
    template <class Then>
    void runs_of(Then then) {
        std::vector<wire::Run> runs;
        std::vector<std::byte> body;
        for (auto count = c_.below(3); count > 0; --count) {
            const auto before = body.size();
            const auto messages = 1 + c_.below(3);
            for (std::uint64_t i = 0; i < messages; ++i) {
                message m;
                m.payload = std::string(c_.below(100), 'd');
                must(!encoder.append(m, proto::compression::none, body), "a message can be encoded");
            }
            const auto announced = static_cast<std::uint32_t>(c_.one_in(64) ? c_.number() : messages);
            const auto bytes = static_cast<std::uint32_t>(c_.one_in(64) ? c_.number() * 8 : body.size() - before);
            const auto first = c_.one_in(64) ? c_.number() : next_sequence_;
            next_sequence_ += messages;
            const auto partition = static_cast<std::uint32_t>(c_.below(2));
            runs.emplace_back(first, 1'000'000, partition, announced, bytes, 1 + static_cast<std::uint32_t>(c_.below(2)));
        }
        if (!body.empty() && c_.one_in(64)) body[c_.below(body.size())] ^= std::byte{1};
        const auto list = c_.one_in(64) ? 0 : b_().CreateVectorOfStructs(runs);
        then(list, body);
    }

    flatbuffers::Offset<flatbuffers::Vector<const wire::LeaseRange*>> ranges() {
        if (!c_.one_in(4)) return 0;
        std::vector<wire::LeaseRange> all;
        for (auto count = c_.below(4); count > 0; --count) {
            const auto first = c_.number();
            const auto last = c_.one_in(16) ? c_.number() : first + c_.below(4);
            all.emplace_back(first, last, static_cast<std::uint32_t>(c_.below(2)), 1);
        }
        return b_().CreateVectorOfStructs(all);
    }

    flatbuffers::FlatBufferBuilder& b_() { return broker_.builder(); }

    choices& c_;
    lib::scripted_broker broker_;
    lib::consumer_number last_consumer_{};
    std::uint64_t last_ticket_ = 0;
    std::uint64_t next_sequence_ = 0;
    std::map<std::uint64_t, const char*> names_;  // of operations, by ticket
};

}  // namespace

void client(input in) {
    choices c(in);
    try {
        conversation talk(c);
        while (!c.ended() && !talk.over()) talk.act();
        talk.end();
    } catch (const std::exception& e) {  // the script's own: it could not read what the machine wrote
        must(false, e.what());
    }
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(client)
