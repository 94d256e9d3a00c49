// Requests of a client with any values, small ones mostly, so that they meet: names of a few topics and subscriptions, few consumers, near sequences.
// Decisions are taken in statements of their own: in which order arguments are evaluated differs between compilers, and a kept input must not.
#pragma once

#include <string>
#include <vector>

#include "proto/frame.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {

inline std::string any_name(choices& c) {
    static const char* const names[] = {"a", "b", "c", "d", "", "no such thing", "x/y"};
    const auto which = c.below(40);
    return which < 36 ? names[which % 4] : names[which - 33];
}

inline wire::Message any_request(choices& c) {
    using enum wire::Message;
    static constexpr wire::Message kinds[] = {
        Subscribe, Subscribe, Subscribe, Credit,        Credit,         Ack,         Ack,        Ack,          Nack,          Nack,              Reject,
        Release,   Start,     Start,     Extend,        Unsubscribe,    CreateTopic, CreateTopic, CreateTopic, UpdateTopic,   DeleteTopic,       PurgeTopic,
        Metadata,  ListTopics, DescribeTopic, CreateSubscription, CreateSubscription, CreateSubscription, UpdateSubscription, DeleteSubscription,
        DescribeSubscription, ListSubscriptions, Peek, OpenProducer, OpenProducer, Ping};
    return kinds[c.below(std::size(kinds))];
}

class request_writer {
public:
    request_writer(choices& c, flatbuffers::FlatBufferBuilder& b, std::uint64_t id, std::vector<std::byte>& out) : c_(c), b_(b), id_(id), out_(out) {}

    std::uint32_t write(wire::Message kind) {
        const auto consumer = 1 + static_cast<std::uint32_t>(c_.below(4));
        write(kind, consumer);
        return consumer;
    }

private:
    void write(wire::Message kind, std::uint32_t consumer) {
        using enum wire::Message;
        switch (kind) {
            case Subscribe: return subscribe(consumer);
            case Credit: return credit(consumer);
            case Ack: return put(wire::CreateAck(b_, consumer, ranges()));
            case Start: return put(wire::CreateStart(b_, consumer, ranges()));
            case Release: return put(wire::CreateRelease(b_, consumer, ranges()));
            case Extend: return put(wire::CreateExtend(b_, consumer, ranges()));
            case Nack: return with_reason([&](auto r, auto why) { put(wire::CreateNack(b_, consumer, r, why)); });
            case Reject: return with_reason([&](auto r, auto why) { put(wire::CreateReject(b_, consumer, r, why)); });
            case Unsubscribe: return put(wire::CreateUnsubscribe(b_, consumer));
            case CreateTopic: return topic([&](auto name, auto s) { put(wire::CreateCreateTopic(b_, name, s)); });
            case UpdateTopic: return topic([&](auto name, auto s) { put(wire::CreateUpdateTopic(b_, name, s)); });
            case DescribeTopic: return put(wire::CreateDescribeTopic(b_, name()));
            case ListTopics: return with_name([&](auto after) { put(wire::CreateListTopics(b_, after, small())); });
            case DeleteTopic: return with_name([&](auto named) { put(wire::CreateDeleteTopic(b_, named, c_.one_in(2))); });
            case PurgeTopic: return put(wire::CreatePurgeTopic(b_, name()));
            case Metadata: return metadata();
            case CreateSubscription: return create_subscription();
            case UpdateSubscription: return update_subscription();
            case DeleteSubscription: return two_names([&](auto t, auto s) { put(wire::CreateDeleteSubscription(b_, t, s, c_.one_in(2))); });
            case DescribeSubscription: return two_names([&](auto t, auto s) { put(wire::CreateDescribeSubscription(b_, t, s)); });
            case ListSubscriptions: return put(wire::CreateListSubscriptions(b_, name()));
            case Peek: return peek();
            case OpenProducer: return open_producer();
            default: return put(wire::CreatePing(b_));
        }
    }

    using text = flatbuffers::Offset<flatbuffers::String>;

    template <class Table>
    void put(flatbuffers::Offset<Table> table) { proto::append_frame(b_, id_, table, 0, out_); }

    std::uint32_t small() { return static_cast<std::uint32_t>(c_.number()); }
    std::uint32_t partition() { return static_cast<std::uint32_t>(c_.one_in(16) ? c_.number() : c_.below(3)); }
    text name() { return c_.one_in(64) ? text{} : b_.CreateString(any_name(c_)); }

    flatbuffers::Offset<flatbuffers::Vector<const wire::LeaseRange*>> ranges() {
        std::vector<wire::LeaseRange> all;
        for (auto count = c_.one_in(16) ? c_.below(40) : c_.below(4); count > 0; --count) {
            const auto first = c_.number();
            const auto last = c_.one_in(16) ? c_.number() : first + c_.below(8);
            const auto where = partition();
            all.emplace_back(first, last, where, c_.one_in(8) ? small() : 1 + static_cast<std::uint32_t>(c_.below(2)));
        }
        return all.empty() && c_.one_in(2) ? 0 : b_.CreateVectorOfStructs(all);
    }

    template <class Then>
    void with_reason(Then then) {
        const auto r = ranges();
        then(r, c_.one_in(4) ? text{} : b_.CreateString(c_.text(20)));
    }

    template <class Then>
    void with_name(Then then) { then(name()); }

    template <class Then>
    void two_names(Then then) {
        const auto first = name();
        then(first, name());
    }

    template <class Then>
    void topic(Then then) {
        const auto named = name();
        flatbuffers::Offset<wire::TopicSettings> settings;
        if (!c_.one_in(3)) {
            wire::TopicSettingsBuilder s(b_);
            if (c_.one_in(2)) s.add_partitions(c_.one_in(8) ? small() : 1 + static_cast<std::uint32_t>(c_.below(3)));
            if (c_.one_in(3)) s.add_keep_age(c_.number() * 1000);
            if (c_.one_in(3)) s.add_keep_bytes(c_.number() * 100);
            if (c_.one_in(3)) s.add_max_age(c_.number() * 1000);
            if (c_.one_in(3)) s.add_max_backlog(c_.number() * 100);
            if (c_.one_in(3)) s.add_on_limit(static_cast<wire::LimitPolicy>(c_.below(3)));
            settings = s.Finish();
        }
        then(named, settings);
    }

    flatbuffers::Offset<wire::SubscriptionSettings> subscription_settings() {
        if (c_.one_in(4)) return 0;
        const auto target = c_.one_in(2) ? name() : text{};
        wire::SubscriptionSettingsBuilder s(b_);
        if (c_.one_in(2)) s.add_visibility_timeout(c_.one_in(8) ? c_.number() : 100 + c_.below(2000));
        if (c_.one_in(2)) s.add_max_deliveries(c_.one_in(8) ? small() : static_cast<std::uint32_t>(c_.below(3)));
        if (c_.one_in(2)) s.add_backoff_min(c_.number());
        if (c_.one_in(2)) s.add_backoff_max(c_.number() * 10);
        s.add_dead_letter(target);
        return s.Finish();
    }

    void create_subscription() {
        two_names([&](auto t, auto s) {
            const auto settings = subscription_settings();
            flatbuffers::Offset<wire::StartFrom> start;
            if (c_.one_in(3)) {
                const auto kind = static_cast<wire::StartKind>(c_.below(4));
                start = wire::CreateStartFrom(b_, kind, c_.number());
            }
            put(wire::CreateCreateSubscription(b_, t, s, settings, start));
        });
    }

    void update_subscription() {
        two_names([&](auto t, auto s) { put(wire::CreateUpdateSubscription(b_, t, s, subscription_settings())); });
    }

    void subscribe(std::uint32_t consumer) {
        two_names([&](auto t, auto s) {
            const auto called = name();
            const auto held = c_.one_in(3) ? ranges() : flatbuffers::Offset<flatbuffers::Vector<const wire::LeaseRange*>>{};
            const auto messages = small();
            put(wire::CreateSubscribe(b_, consumer, t, s, messages, c_.number() * 100, called, held));
        });
    }

    void credit(std::uint32_t consumer) {
        const auto messages = small();
        put(wire::CreateCredit(b_, consumer, messages, c_.number() * 100));
    }

    void peek() {
        const auto topic = name();
        const auto where = partition();
        const auto from = c_.number();
        const auto messages = small();
        put(wire::CreatePeek(b_, topic, where, from, messages, static_cast<std::uint32_t>(c_.number() * 50)));
    }

    void open_producer() {
        const auto named = name();
        const auto incarnation = c_.below(4);
        put(wire::CreateOpenProducer(b_, named, incarnation, c_.one_in(2)));
    }

    void metadata() {
        std::vector<text> all;
        for (auto count = c_.below(4); count > 0; --count) all.push_back(b_.CreateString(any_name(c_)));
        put(wire::CreateMetadata(b_, b_.CreateVector(all)));
    }

    choices& c_;
    flatbuffers::FlatBufferBuilder& b_;
    std::uint64_t id_;
    std::vector<std::byte>& out_;
};

/// Gives the consumer that it is about, if it is about one.
inline std::uint32_t append_request(choices& c, flatbuffers::FlatBufferBuilder& b, wire::Message kind, std::uint64_t id, std::vector<std::byte>& out) {
    return request_writer(c, b, id, out).write(kind);
}

}  // namespace millrace::fuzz
