#include "client/request.hpp"

#include <algorithm>

#include "proto/record.hpp"

namespace millrace::client {
namespace {

using builder_type = flatbuffers::FlatBufferBuilder;

template <class T>
flatbuffers::Optional<T> optional_on_wire(const std::optional<T>& value) {
    return value ? flatbuffers::Optional<T>(*value) : flatbuffers::nullopt;
}

flatbuffers::Optional<std::uint64_t> optional_on_wire(const std::optional<std::chrono::milliseconds>& value) {
    return value ? flatbuffers::Optional<std::uint64_t>(static_cast<std::uint64_t>(value->count())) : flatbuffers::nullopt;
}

auto on_wire(builder_type& b, const topic_settings& s) {
    flatbuffers::Optional<wire::LimitPolicy> on_limit = flatbuffers::nullopt;
    if (s.on_limit) on_limit = static_cast<wire::LimitPolicy>(*s.on_limit);
    return wire::CreateTopicSettings(b, optional_on_wire(s.partitions), optional_on_wire(s.keep_age), optional_on_wire(s.keep_bytes),
                                     optional_on_wire(s.max_age), optional_on_wire(s.max_backlog), on_limit);
}

auto on_wire(builder_type& b, const subscription_settings& s) {
    flatbuffers::Offset<flatbuffers::String> dead_letter = 0;
    if (s.dead_letter) dead_letter = b.CreateString(*s.dead_letter);
    return wire::CreateSubscriptionSettings(b, optional_on_wire(s.visibility_timeout), optional_on_wire(s.max_deliveries),
                                            optional_on_wire(s.backoff_min), optional_on_wire(s.backoff_max), dead_letter);
}

auto on_wire(builder_type& b, const start_position& s) {
    const auto value = s.from == start_position::kind::sequence ? s.at.value : 0;
    return wire::CreateStartFrom(b, static_cast<wire::StartKind>(s.from), value);
}

auto on_wire(builder_type& b, const create_topic& r) {
    const auto settings = on_wire(b, r.settings);
    return wire::CreateCreateTopic(b, b.CreateString(r.name), settings);
}
auto on_wire(builder_type& b, const update_topic& r) {
    const auto settings = on_wire(b, r.settings);
    return wire::CreateUpdateTopic(b, b.CreateString(r.name), settings);
}
auto on_wire(builder_type& b, const describe_topic& r) { return wire::CreateDescribeTopic(b, b.CreateString(r.name)); }
auto on_wire(builder_type& b, const list_topics& r) { return wire::CreateListTopics(b, b.CreateString(r.after), r.limit); }
auto on_wire(builder_type& b, const delete_topic& r) { return wire::CreateDeleteTopic(b, b.CreateString(r.name), r.force); }
auto on_wire(builder_type& b, const purge_topic& r) { return wire::CreatePurgeTopic(b, b.CreateString(r.name)); }
auto on_wire(builder_type& b, const create_subscription& r) {
    const auto topic = b.CreateString(r.topic);
    const auto name = b.CreateString(r.name);
    const auto settings = on_wire(b, r.settings);
    const auto start = on_wire(b, r.start);
    return wire::CreateCreateSubscription(b, topic, name, settings, start);
}
auto on_wire(builder_type& b, const describe_subscription& r) {
    const auto topic = b.CreateString(r.topic);
    return wire::CreateDescribeSubscription(b, topic, b.CreateString(r.name));
}
auto on_wire(builder_type& b, const list_subscriptions& r) { return wire::CreateListSubscriptions(b, b.CreateString(r.topic)); }
auto on_wire(builder_type& b, const update_subscription& r) {
    const auto topic = b.CreateString(r.topic);
    const auto name = b.CreateString(r.name);
    return wire::CreateUpdateSubscription(b, topic, name, on_wire(b, r.settings));
}
auto on_wire(builder_type& b, const delete_subscription& r) {
    const auto topic = b.CreateString(r.topic);
    return wire::CreateDeleteSubscription(b, topic, b.CreateString(r.name), r.force);
}
auto on_wire(builder_type& b, const peek& r) {
    return wire::CreatePeek(b, b.CreateString(r.topic), r.options.partition, r.options.from.value, r.options.messages, r.options.bytes);
}

// The verifier knows no required strings: every one of them may be absent.
std::string text(const flatbuffers::String* s) { return s ? s->str() : std::string(); }

std::vector<std::string> texts(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* strings) {
    std::vector<std::string> all;
    if (!strings) return all;
    all.reserve(strings->size());
    for (const auto* s : *strings) all.push_back(text(s));
    return all;
}

timestamp time_of(std::int64_t microseconds) { return timestamp(std::chrono::microseconds(microseconds)); }

std::optional<std::uint64_t> optional_of(const flatbuffers::Optional<std::uint64_t>& value) {
    return value ? std::optional<std::uint64_t>(*value) : std::nullopt;
}

std::optional<std::chrono::milliseconds> duration_of(const flatbuffers::Optional<std::uint64_t>& value) {
    return value ? std::optional<std::chrono::milliseconds>(*value) : std::nullopt;
}

topic_settings from_wire(const wire::TopicSettings& s) {
    topic_settings out;
    if (s.partitions()) out.partitions = *s.partitions();
    out.keep_age = duration_of(s.keep_age());
    out.keep_bytes = optional_of(s.keep_bytes());
    out.max_age = duration_of(s.max_age());
    out.max_backlog = optional_of(s.max_backlog());
    if (s.on_limit()) out.on_limit = static_cast<limit_policy>(*s.on_limit());
    return out;
}

topic_description from_wire(const wire::TopicInfo& info) {
    topic_description out;
    out.name = text(info.name());
    out.id = info.id();
    out.created_at = time_of(info.created_at());
    if (info.settings()) out.settings = from_wire(*info.settings());
    if (info.partitions())
        for (const auto* p : *info.partitions()) out.partitions.push_back({{p->start()}, {p->low()}, {p->high()}, p->bytes(), p->backlog()});
    out.subscriptions = texts(info.subscriptions());
    return out;
}

subscription_settings from_wire(const wire::SubscriptionSettings& s) {
    subscription_settings out;
    out.visibility_timeout = duration_of(s.visibility_timeout());
    if (s.max_deliveries()) out.max_deliveries = *s.max_deliveries();
    out.backoff_min = duration_of(s.backoff_min());
    out.backoff_max = duration_of(s.backoff_max());
    if (s.dead_letter()) out.dead_letter = s.dead_letter()->str();
    return out;
}

subscription_progress from_wire(const wire::ProgressInfo& p) {
    return {{p.start()}, {p.cursor()}, {p.high()}, p.published(), p.acked(),   p.dead(),
            p.parked(),  p.expired(),  p.skipped(), p.delayed(),  p.ready(), p.leased()};
}

subscription_description from_wire(const wire::SubscriptionInfo& info) {
    subscription_description out;
    out.topic = text(info.topic());
    out.name = text(info.name());
    out.id = info.id();
    out.created_at = time_of(info.created_at());
    if (info.settings()) out.settings = from_wire(*info.settings());
    out.consumers = info.consumers();
    if (info.partitions())
        for (const auto* p : *info.partitions()) out.partitions.push_back(from_wire(*p));
    out.inconsistent = text(info.inconsistent());
    return out;
}

std::vector<lost_range> from_wire(const flatbuffers::Vector<const wire::LeaseRange*>* ranges) {
    std::vector<lost_range> out;
    if (!ranges) return out;
    for (const auto* l : *ranges) out.push_back({l->partition(), l->attempt(), {l->first()}, {l->last()}});
    return out;
}

result<std::optional<answer>> from_wire(const wire::Peeked& message, std::span<const std::byte> body) {
    peeked out;
    out.start = {message.start()};
    out.high = {message.high()};
    if (auto failed = read_runs(message.runs(), body, out.deliveries, nullptr)) return failed;
    return std::optional<answer>(std::move(out));
}

}  // namespace

void append_request(builder_type& builder, std::uint64_t id, const request& asked, std::vector<std::byte>& out) {
    std::visit([&](const auto& r) { proto::append_frame(builder, id, on_wire(builder, r), 0, out); }, asked);
}

error read_failure(const wire::Failed& failed) {
    error refused{static_cast<errc>(failed.code()), text(failed.what())};
    // A refusal without a code is still a refusal: never let it pass for success.
    if (refused.code == errc::ok) refused.code = errc::malformed_frame;
    if (refused.code == errc::not_owner && failed.owner()) refused.what += " (ask " + failed.owner()->str() + ")";
    return refused;
}

result<std::optional<answer>> read_answer(const proto::frame& frame) {
    const auto some = [](answer a) { return std::optional<answer>(std::move(a)); };
    switch (frame.head->message_type()) {
        case wire::Message::Ok: return some(done{});
        case wire::Message::TopicInfo: return some(from_wire(*frame.head->message_as_TopicInfo()));
        case wire::Message::Topics: {
            const auto* topics = frame.head->message_as_Topics();
            return some(name_list{texts(topics->names()), topics->more(), {}});
        }
        case wire::Message::SubscriptionInfo: return some(from_wire(*frame.head->message_as_SubscriptionInfo()));
        case wire::Message::Subscriptions: return some(name_list{texts(frame.head->message_as_Subscriptions()->names()), false, {}});
        case wire::Message::Subscribed: {
            const auto* s = frame.head->message_as_Subscribed();
            return some(subscribed{s->topic(), s->subscription(), std::chrono::milliseconds(s->visibility_timeout()), from_wire(s->lost()), {}});
        }
        case wire::Message::Acked: return some(settlement{from_wire(frame.head->message_as_Acked()->lost()), {}});
        case wire::Message::Peeked: return from_wire(*frame.head->message_as_Peeked(), frame.body);
        default: return std::optional<answer>();
    }
}

namespace {

/// Decodes one record; a dead letter knows where it comes from.
error read_record(std::span<const std::byte> record, delivery& out) {
    std::optional<proto::dead_origin> died;
    if (auto failed = proto::decode_record(record, out.message, &died)) return failed;
    if (died)
        out.origin = std::make_shared<const dead_letter_origin>(dead_letter_origin{
            std::move(died->topic), std::move(died->subscription), died->partition, died->at, died->failures, std::move(died->reason)});
    return {};
}

/// That there can be in these runs, whatever they say.
std::size_t records_at_most(const flatbuffers::Vector<const wire::Run*>& runs, std::size_t bytes) {
    std::size_t records = 0;
    for (const auto* run : runs) records += run->count();
    return std::min(records, bytes / proto::record_bytes_min);
}

}  // namespace

error read_runs(const flatbuffers::Vector<const wire::Run*>* runs, std::span<const std::byte> body, std::vector<delivery>& out,
                std::vector<std::uint32_t>* sizes) {
    if (!runs) return body.empty() ? error{} : error{errc::malformed_frame, "a body without runs"};
    const auto records_max = records_at_most(*runs, body.size());
    out.reserve(out.size() + records_max);
    if (sizes) sizes->reserve(sizes->size() + records_max);
    for (const auto* run : *runs) {
        if (run->bytes() > body.size()) return {errc::malformed_frame, "a run is longer than the body"};
        auto records = body.first(run->bytes());
        body = body.subspan(run->bytes());
        for (std::uint32_t i = 0; i < run->count(); ++i) {
            const auto length = proto::record_length(records);
            if (!length) return {errc::malformed_frame, "a run has fewer records than it says"};
            auto& d = out.emplace_back();
            if (auto failed = read_record(records.first(*length), d)) {
                failed.what += " (partition " + std::to_string(run->partition()) + " sequence " + std::to_string(run->first() + i) + ")";
                return failed;
            }
            d.sequence = sequence{run->first() + i};
            d.appended_at = time_of(run->appended_at());
            d.partition = run->partition();
            d.attempt = run->attempt();
            if (sizes) sizes->push_back(*length);
            records = records.subspan(*length);
        }
        if (!records.empty()) return {errc::malformed_frame, "a run has more records than it says"};
    }
    return body.empty() ? error{} : error{errc::malformed_frame, "a body longer than its runs"};
}

}  // namespace millrace::client
