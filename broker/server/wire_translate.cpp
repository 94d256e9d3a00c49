#include "broker/server/wire_translate.hpp"

#include <algorithm>

namespace millrace::server {
namespace {

using core::origin;
namespace input = core::input;
namespace answers = core::answers;

std::string text(const flatbuffers::String* s) { return s ? s->str() : std::string(); }

template <class Target, class Source>
std::optional<Target> optional_of(const flatbuffers::Optional<Source>& value) {
    return value ? std::optional<Target>(static_cast<Target>(*value)) : std::nullopt;
}

std::optional<core::duration> age_of(const flatbuffers::Optional<std::uint64_t>& milliseconds) {
    if (!milliseconds) return std::nullopt;
    constexpr std::uint64_t most = std::uint64_t{1} << 53;  // refused by its range later, without overflow here
    return core::duration{static_cast<std::int64_t>(std::min(*milliseconds, most))};
}

core::topic_changes changes_of(const wire::TopicSettings* s) {
    core::topic_changes c;
    if (!s) return c;
    c.partitions = optional_of<std::uint32_t>(s->partitions());
    c.keep_age = age_of(s->keep_age());
    c.keep_bytes = optional_of<std::uint64_t>(s->keep_bytes());
    c.max_age = age_of(s->max_age());
    c.max_backlog = optional_of<std::uint64_t>(s->max_backlog());
    c.on_limit = optional_of<core::limit_policy>(s->on_limit());
    return c;
}

core::subscription_changes changes_of(const wire::SubscriptionSettings* s) {
    core::subscription_changes c;
    if (!s) return c;
    c.visibility_timeout = age_of(s->visibility_timeout());
    c.max_deliveries = optional_of<std::uint32_t>(s->max_deliveries());
    c.backoff_min = age_of(s->backoff_min());
    c.backoff_max = age_of(s->backoff_max());
    if (s->dead_letter()) c.dead_letter = s->dead_letter()->str();
    return c;
}

core::start_from start_of(const wire::StartFrom* s) {
    if (!s) return {};
    return {static_cast<core::start_from::kind>(s->kind()), {s->value()}};
}

std::vector<std::string> strings_of(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* list) {
    std::vector<std::string> out;
    if (list)
        for (const auto* s : *list) out.push_back(s->str());
    return out;
}

std::vector<core::lease_range> ranges_of(const flatbuffers::Vector<const wire::LeaseRange*>* list) {
    std::vector<core::lease_range> out;
    if (!list) return out;
    out.reserve(list->size());
    for (const auto* r : *list) out.push_back({r->partition(), {r->first()}, {r->last()}, r->attempt()});
    return out;
}

std::int64_t micros(timestamp t) { return t.time_since_epoch().count(); }
std::uint64_t millis(core::duration d) { return static_cast<std::uint64_t>(d.count()); }

class answer_writer {
public:
    answer_writer(flatbuffers::FlatBufferBuilder& builder, core::request_id id, durability level, std::vector<std::byte>& out)
        : fb_(builder), id_(static_cast<std::uint64_t>(id)), level_(level), out_(out) {}

    void operator()(const answers::done&) { write(wire::CreateOk(fb_)); }
    void operator()(const error& e) { write(wire::CreateFailed(fb_, static_cast<std::uint16_t>(e.code), fb_.CreateString(to_what(e)))); }
    void operator()(const answers::published& p) { write(wire::CreatePublished(fb_, p.first.value, static_cast<wire::Durability>(level_))); }
    void operator()(const answers::producer_opened& p) {
        std::vector<wire::ProducerPosition> positions;
        for (const auto& at : p.positions)
            positions.emplace_back(at.last_number, static_cast<std::uint32_t>(at.partition.topic), at.partition.index);
        write(wire::CreateProducerOpened(fb_, static_cast<std::uint64_t>(p.id), p.epoch, fb_.CreateVectorOfStructs(positions)));
    }
    void operator()(const answers::subscribed& s) {
        const auto lost = ranges(s.lost);
        write(wire::CreateSubscribed(fb_, static_cast<std::uint32_t>(s.topic), static_cast<std::uint32_t>(s.subscription),
                                     millis(s.visibility_timeout), lost));
    }
    void operator()(const answers::acked& a) {
        const auto lost = ranges(a.lost);
        const auto limited = ranges(a.limited);
        write(wire::CreateAcked(fb_, lost, limited));
    }
    void operator()(const answers::metadata& m) {
        std::vector<flatbuffers::Offset<wire::TopicPlaces>> topics;
        for (const auto& t : m.topics) {
            const auto name = fb_.CreateString(t.name);
            const auto owners = fb_.CreateVector(std::vector<std::uint32_t>(t.partitions, 0));
            const auto code = t.id ? errc::ok : errc::no_such_topic;
            topics.push_back(wire::CreateTopicPlaces(fb_, name, t.id ? static_cast<std::uint32_t>(*t.id) : 0, owners,
                                                     static_cast<std::uint16_t>(code)));
        }
        const auto here = fb_.CreateVectorOfStrings({""});  // the broker this session is connected to
        write(wire::CreateMetadataOk(fb_, m.version, here, fb_.CreateVector(topics)));
    }
    void operator()(const answers::name_page& p) {
        write(wire::CreateTopics(fb_, fb_.CreateVectorOfStrings(p.names), p.more));
    }
    void operator()(const answers::subscription_names& p) { write(wire::CreateSubscriptions(fb_, fb_.CreateVectorOfStrings(p.names))); }
    void operator()(const answers::topic_info& t) {
        std::vector<flatbuffers::Offset<wire::PartitionInfo>> partitions;
        for (const auto& p : t.partitions)
            partitions.push_back(wire::CreatePartitionInfo(fb_, p.start.value, p.low.value, p.high.value, p.bytes, p.backlog));
        const auto name = fb_.CreateString(t.name);
        const auto& s = t.settings;
        const auto settings = wire::CreateTopicSettings(fb_, s.partitions, millis(s.keep_age), s.keep_bytes, millis(s.max_age), s.max_backlog,
                                                        static_cast<wire::LimitPolicy>(s.on_limit));
        const auto list = fb_.CreateVector(partitions);
        write(wire::CreateTopicInfo(fb_, name, static_cast<std::uint32_t>(t.id), micros(t.created_at), settings, list,
                                    fb_.CreateVectorOfStrings(t.subscriptions)));
    }
    void operator()(const answers::subscription_info& s) {
        std::vector<flatbuffers::Offset<wire::ProgressInfo>> partitions;
        for (const auto& p : s.partitions)
            partitions.push_back(wire::CreateProgressInfo(fb_, p.start.value, p.cursor.value, p.high.value, p.published(), p.settled.acked,
                                                          p.settled.dead, p.settled.parked, p.settled.expired, p.settled.skipped, p.delayed, p.ready,
                                                          p.leased));
        const auto topic = fb_.CreateString(s.topic);
        const auto name = fb_.CreateString(s.name);
        const auto dead_letter = fb_.CreateString(s.settings.dead_letter);
        const auto settings = wire::CreateSubscriptionSettings(fb_, millis(s.settings.visibility_timeout), s.settings.max_deliveries,
                                                               millis(s.settings.backoff_min), millis(s.settings.backoff_max), dead_letter);
        const auto list = fb_.CreateVector(partitions);
        const auto inconsistent = s.inconsistent.empty() ? flatbuffers::Offset<flatbuffers::String>() : fb_.CreateString(s.inconsistent);
        write(wire::CreateSubscriptionInfo(fb_, topic, name, static_cast<std::uint32_t>(s.id), micros(s.created_at), settings, s.consumers, list,
                                           inconsistent));
    }
    void operator()(const answers::browse&) {}  // the driver answers it

private:
    flatbuffers::Offset<flatbuffers::Vector<const wire::LeaseRange*>> ranges(const std::vector<core::lease_range>& list) {
        if (list.empty()) return 0;
        std::vector<wire::LeaseRange> out;
        for (const auto& r : list) out.emplace_back(r.first.value, r.last.value, r.partition, r.attempt);
        return fb_.CreateVectorOfStructs(out);
    }
    static std::string to_what(const error& e) {
        return e.what.empty() ? error_category().message(static_cast<int>(e.code)) : e.what;
    }
    template <class Table>
    void write(flatbuffers::Offset<Table> message) {
        proto::append_frame(fb_, id_, message, 0, out_);
    }

    flatbuffers::FlatBufferBuilder& fb_;
    std::uint64_t id_;
    durability level_;
    std::vector<std::byte>& out_;
};

}  // namespace

std::optional<core::any_input> to_input(origin from, const wire::Frame& frame) {
    switch (frame.message_type()) {
        case wire::Message::Metadata: return input::list_metadata{from, strings_of(frame.message_as_Metadata()->topics())};
        case wire::Message::CreateTopic: {
            const auto& m = *frame.message_as_CreateTopic();
            return input::create_topic{from, text(m.name()), changes_of(m.settings())};
        }
        case wire::Message::UpdateTopic: {
            const auto& m = *frame.message_as_UpdateTopic();
            return input::update_topic{from, text(m.name()), changes_of(m.settings())};
        }
        case wire::Message::DescribeTopic: return input::describe_topic{from, text(frame.message_as_DescribeTopic()->name())};
        case wire::Message::ListTopics: {
            const auto& m = *frame.message_as_ListTopics();
            return input::list_topics{from, text(m.after()), m.limit()};
        }
        case wire::Message::DeleteTopic: {
            const auto& m = *frame.message_as_DeleteTopic();
            return input::delete_topic{from, text(m.name()), m.force()};
        }
        case wire::Message::PurgeTopic: return input::purge_topic{from, text(frame.message_as_PurgeTopic()->name())};
        case wire::Message::CreateSubscription: {
            const auto& m = *frame.message_as_CreateSubscription();
            return input::create_subscription{from, text(m.topic()), text(m.name()), changes_of(m.settings()), start_of(m.start())};
        }
        case wire::Message::DescribeSubscription: {
            const auto& m = *frame.message_as_DescribeSubscription();
            return input::describe_subscription{from, text(m.topic()), text(m.name())};
        }
        case wire::Message::ListSubscriptions: return input::list_subscriptions{from, text(frame.message_as_ListSubscriptions()->topic())};
        case wire::Message::DeleteSubscription: {
            const auto& m = *frame.message_as_DeleteSubscription();
            return input::delete_subscription{from, text(m.topic()), text(m.name()), m.force()};
        }
        case wire::Message::Subscribe: {
            const auto& m = *frame.message_as_Subscribe();
            return input::subscribe{from,           core::consumer_id{m.consumer()}, text(m.topic()), text(m.subscription()), text(m.name()),
                                    m.messages(), m.bytes(),                         ranges_of(m.held())};
        }
        case wire::Message::Unsubscribe: return input::unsubscribe{from, core::consumer_id{frame.message_as_Unsubscribe()->consumer()}};
        case wire::Message::Ack: {
            const auto& m = *frame.message_as_Ack();
            return input::ack{from, core::consumer_id{m.consumer()}, ranges_of(m.ranges())};
        }
        case wire::Message::OpenProducer: {
            const auto& m = *frame.message_as_OpenProducer();
            return input::open_producer{from, text(m.name()), m.incarnation(), m.returning()};
        }
        case wire::Message::Start: {
            const auto& m = *frame.message_as_Start();
            return input::start{from.session, core::consumer_id{m.consumer()}, ranges_of(m.ranges())};
        }
        case wire::Message::Nack: {
            const auto& m = *frame.message_as_Nack();
            return input::nack{from, core::consumer_id{m.consumer()}, ranges_of(m.ranges()), text(m.reason())};
        }
        case wire::Message::Reject: {
            const auto& m = *frame.message_as_Reject();
            return input::reject{from, core::consumer_id{m.consumer()}, ranges_of(m.ranges()), text(m.reason())};
        }
        case wire::Message::Release: {
            const auto& m = *frame.message_as_Release();
            return input::release{from, core::consumer_id{m.consumer()}, ranges_of(m.ranges())};
        }
        case wire::Message::Extend: {
            const auto& m = *frame.message_as_Extend();
            return input::extend{from, core::consumer_id{m.consumer()}, ranges_of(m.ranges())};
        }
        case wire::Message::UpdateSubscription: {
            const auto& m = *frame.message_as_UpdateSubscription();
            return input::update_subscription{from, text(m.topic()), text(m.name()), changes_of(m.settings())};
        }
        case wire::Message::Peek: {
            const auto& m = *frame.message_as_Peek();
            return input::peek{from, text(m.topic()), m.partition(), {m.from()}, m.messages(), m.bytes()};
        }
        default: return std::nullopt;
    }
}

void append_answer(flatbuffers::FlatBufferBuilder& builder, const core::answer& a, durability level, std::vector<std::byte>& out) {
    std::visit(answer_writer(builder, a.to.request, level, out), a.what);
}

}  // namespace millrace::server
