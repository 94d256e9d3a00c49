#include "broker/admin/descriptions.hpp"

#include "proto/json.hpp"

namespace millrace::admin {
namespace {

template <class List, class Text>
std::string array_of(const List& list, Text text) {
    std::string out = "[";
    for (const auto& one : list) {
        if (out.size() > 1) out += ',';
        out += text(one);
    }
    return out + "]";
}

std::string json_of(const core::answers::partition_info& p) {
    return json_object().add("start", p.start.value).add("low", p.low.value).add("high", p.high.value).add("bytes", p.bytes)
        .add("backlog_bytes", p.backlog).text();
}

std::string json_of(const core::answers::progress_info& p) {
    const auto& s = p.settled;
    return json_object().add("start", p.start.value).add("cursor", p.cursor.value).add("high", p.high.value).add("published", p.published())
        .add("acked", s.acked).add("dead", s.dead).add("parked", s.parked).add("expired", s.expired).add("skipped", s.skipped)
        .add("delayed", p.delayed).add("ready", p.ready).add("leased", p.leased).text();
}

std::string json_of(const core::consumer_figures& c) {
    return json_object().add("consumer", static_cast<std::uint32_t>(c.id)).add_bytes("name", c.name).add("topic", c.topic)
        .add("subscription", c.subscription).add("credit_messages", c.credit_messages).add("credit_bytes", c.credit_bytes)
        .add("leased", c.leased).text();
}

}  // namespace

std::string json_of(const core::answers::topic_info& t) {
    json_object o;
    o.add("name", t.name).add("id", static_cast<std::uint32_t>(t.id)).add("created_at", format_time(t.created_at))
        .add("keep_age_ms", t.settings.keep_age.count()).add("keep_bytes", t.settings.keep_bytes).add("max_age_ms", t.settings.max_age.count())
        .add("max_backlog_bytes", t.settings.max_backlog).add("on_limit", t.settings.on_limit == core::limit_policy::refuse ? "refuse" : "expire");
    o.add_raw("partitions", array_of(t.partitions, [](const auto& p) { return json_of(p); }));
    return o.add_raw("subscriptions", array_of(t.subscriptions, [](const auto& name) { return json_string(name); })).text();
}

std::string json_of(const core::answers::subscription_info& s) {
    json_object o;
    o.add("topic", s.topic).add("name", s.name).add("id", static_cast<std::uint32_t>(s.id)).add("created_at", format_time(s.created_at))
        .add("visibility_timeout_ms", s.settings.visibility_timeout.count()).add("max_deliveries", s.settings.max_deliveries)
        .add("backoff_min_ms", s.settings.backoff_min.count()).add("backoff_max_ms", s.settings.backoff_max.count())
        .add("dead_letter", s.settings.dead_letter).add("consumers", s.consumers);
    o.add_raw("partitions", array_of(s.partitions, [](const auto& p) { return json_of(p); }));
    if (!s.inconsistent.empty()) o.add("inconsistent", s.inconsistent);
    return o.text();
}

std::string json_of(const session_state& s, const std::vector<core::consumer_figures>& consumers) {
    json_object o;
    o.add("id", s.id).add_bytes("client", s.client).add("address", s.address).add("since", format_time(s.since));
    return o.add_raw("consumers", array_of(consumers, [](const auto& c) { return json_of(c); })).text();
}

std::string json_of(const broker_state& s) {
    json_object o;
    o.add("version", s.version).add("store", s.store).add("durability", name_of(s.level)).add("epoch", static_cast<std::uint64_t>(s.epoch))
        .add("shards", s.shards).add("started_at", format_time(s.started_at)).add("uptime_seconds", std::chrono::duration_cast<std::chrono::seconds>(s.now - s.started_at).count())
        .add("ready", !s.not_ready).add("sessions", s.sessions).add("resident_bytes", s.resident_bytes);
    if (s.not_ready) o.add("not_ready", to_string(s.not_ready));
    return o.text();
}

}  // namespace millrace::admin
