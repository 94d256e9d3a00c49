#include "broker/admin/metrics.hpp"

#include <prometheus/text_serializer.h>

#include <limits>
#include <optional>
#include <sstream>
#include <utility>

namespace millrace::admin {
namespace {

using core::subscription_figures;
using core::topic_figures;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using labels = std::vector<ClientMetric::Label>;

constexpr auto counter = MetricType::Counter;
constexpr auto gauge = MetricType::Gauge;

double seconds_of(std::chrono::microseconds d) {
    return std::chrono::duration<double>(d).count();
}

ClientMetric metric_of(MetricType type, double value, labels of) {
    ClientMetric metric;
    metric.label = std::move(of);
    (type == counter ? metric.counter.value : metric.gauge.value) = value;
    return metric;
}

/// Writes one family after the other, so that no more than one of them is in memory in the library's own form.
class writer {
public:
    void add(const char* name, const char* help, MetricType type, double value, labels of = {}) {
        MetricFamily family{name, help, type, {}};
        family.metric.push_back(metric_of(type, value, std::move(of)));
        add(std::move(family));
    }

    void add(const char* name, const char* help, MetricType type, std::uint64_t value) { add(name, help, type, static_cast<double>(value)); }

    /// One series for each code.
    void add(const char* name, const char* help, const char* label, const std::map<errc, std::uint64_t>& counts) {
        MetricFamily family{name, help, counter, {}};
        for (const auto& [code, count] : counts) family.metric.push_back(metric_of(counter, static_cast<double>(count), {{label, name_of(code)}}));
        add(std::move(family));
    }

    /// Values are multiplied by `unit`.
    void add(const char* name, const char* help, const driver::histogram& h, double unit) {
        ClientMetric metric;
        metric.histogram.sample_count = h.count();
        metric.histogram.sample_sum = static_cast<double>(h.sum()) * unit;
        std::uint64_t cumulative = 0;
        for (std::size_t i = 0; i < h.counts().size(); ++i) {
            cumulative += h.counts()[i];
            const auto bound = i < h.bounds().size() ? static_cast<double>(h.bounds()[i]) * unit : std::numeric_limits<double>::infinity();
            metric.histogram.bucket.push_back({cumulative, bound});
        }
        add({name, help, MetricType::Histogram, {std::move(metric)}});
    }

    void add(MetricFamily family) {
        if (!family.metric.empty()) prometheus::TextSerializer().Serialize(out_, {std::move(family)});
    }

    std::string text() && { return std::move(out_).str(); }

private:
    std::ostringstream out_;
};

// ---- the broker ----

void add_broker(writer& out, const snapshot& taken) {
    const auto& s = taken.state;
    out.add("millrace_build_info", "The program; the value is always 1.", gauge, 1.0, {{"version", s.version}});
    out.add("millrace_durability_info", "What an answered publish has survived; the value is always 1.", gauge, 1.0, {{"level", name_of(s.level)}});
    out.add("millrace_uptime_seconds", "Time since the broker started.", gauge, seconds_of(s.now - s.started_at));
    out.add("millrace_ready", "1 while publishing is possible, else 0.", gauge, s.not_ready ? 0.0 : 1.0);
    out.add("millrace_fencing_epoch", "Epoch under which the first shard is written; larger after each opening.", gauge, static_cast<double>(s.epoch));
    out.add("millrace_shards", "Threads that share topics and clients.", gauge, static_cast<double>(s.shards));
    out.add("millrace_store_reopened_total", "Times that the store was opened again after a failed commit.", counter, s.reopened);
    if (s.disk_free_bytes) out.add("millrace_disk_free_bytes", "What the disk of the store had left at the last look.", gauge, *s.disk_free_bytes);
    if (s.disk_reserve_bytes) out.add("millrace_disk_reserve_bytes", "Below so much free space publishes are refused.", gauge, *s.disk_reserve_bytes);
    out.add("millrace_process_resident_memory_bytes", "Memory that the process holds.", gauge, s.resident_bytes);
    out.add("millrace_process_cpu_seconds_total", "Processor time that the process has used.", counter, seconds_of(s.processor_time));
    out.add("millrace_topics", "Topics.", gauge, taken.all_topics);
    out.add("millrace_subscriptions", "Subscriptions.", gauge, taken.all_subscriptions);
    out.add("millrace_consumers", "Consumers of all sessions.", gauge, taken.consumers);
    out.add("millrace_sessions", "Client connections.", gauge, s.sessions);
    out.add("millrace_sessions_opened_total", "Client connections taken.", counter, s.sessions_opened);
    out.add("millrace_sessions_closed_total", "Client connections that the broker ended, by the reason it gave.", "reason", s.sessions_closed);
}

void add_traffic(writer& out, const driver::figures& f) {
    out.add("millrace_published_messages_total", "Messages that became durable, dead letters that arrived in their topic included.", counter,
            f.published_messages);
    out.add("millrace_published_bytes_total", "Their bytes as records, keys and headers included.", counter, f.published_bytes);
    out.add("millrace_delivered_messages_total", "Messages sent to consumers.", counter, f.delivered_messages);
    out.add("millrace_delivered_bytes_total", "Their bytes as records.", counter, f.delivered_bytes);
    out.add("millrace_acked_messages_total", "Messages acked.", counter, f.acked_messages);
    out.add("millrace_refused_requests_total", "Requests answered with an error, by its name.", "error", f.refused);
    out.add("millrace_commits_total", "Group commits that became durable.", counter, f.commit_microseconds.count());
    out.add("millrace_commits_failed_total", "Group commits that failed; after each the store is opened again, or the broker ends.", counter, f.failed_commits);
    out.add("millrace_damaged_messages_total", "Messages that were found damaged in the store, named in the log and passed over.", counter, f.damaged_messages);
    out.add("millrace_scrubbed_bytes_total", "Stored bytes that were read for no other reason than to find damage.", counter, f.scrubbed_bytes);
    out.add("millrace_scrub_passes_total", "Times that everything stored was read so.", counter, f.scrub_passes);
    constexpr auto microsecond = 1e-6;
    out.add("millrace_commit_duration_seconds", "From handing a group to the store until it was durable.", f.commit_microseconds, microsecond);
    out.add("millrace_commit_messages", "Messages in one group commit; 0 where it holds acks and the like alone.", f.commit_messages, 1);
    out.add("millrace_commit_bytes", "Bytes of records in one group commit.", f.commit_bytes, 1);
}

// ---- topics and subscriptions ----

struct topic_series {
    const char* name;
    const char* help;
    MetricType type;
    double (*value)(const topic_figures&);
};

constexpr topic_series series_of_topic[] = {
    {"millrace_topic_high_watermark", "Messages of the topic that were ever durable, over all partitions.", gauge,
     [](const topic_figures& t) { return static_cast<double>(t.high); }},
    {"millrace_topic_messages", "Messages from the oldest kept one to the high watermark.", gauge,
     [](const topic_figures& t) { return static_cast<double>(t.messages); }},
    {"millrace_topic_stored_bytes", "Bytes of records that the topic keeps.", gauge, [](const topic_figures& t) { return static_cast<double>(t.bytes); }},
    {"millrace_topic_backlog_bytes", "Of them, those that are not settled by every subscription.", gauge,
     [](const topic_figures& t) { return static_cast<double>(t.backlog_bytes); }},
};

struct subscription_series {
    const char* name;
    const char* help;
    MetricType type;
    std::optional<double> (*value)(const subscription_figures&, timestamp now);  // none: not known
};

constexpr subscription_series series_of_subscription[] = {
    {"millrace_subscription_consumers", "Consumers that share the subscription.", gauge,
     [](const auto& s, timestamp) -> std::optional<double> { return s.consumers; }},
    {"millrace_subscription_ready_messages", "Messages that may be delivered now.", gauge,
     [](const auto& s, timestamp) -> std::optional<double> { return s.ready; }},
    {"millrace_subscription_leased_messages", "Messages that a consumer holds.", gauge,
     [](const auto& s, timestamp) -> std::optional<double> { return s.leased; }},
    {"millrace_subscription_delayed_messages", "Messages that wait for their next attempt.", gauge,
     [](const auto& s, timestamp) -> std::optional<double> { return s.delayed; }},
    {"millrace_subscription_parked_messages", "Exhausted messages that stay, as the subscription has no dead-letter topic.", gauge,
     [](const auto& s, timestamp) -> std::optional<double> { return s.settled.parked; }},
    {"millrace_subscription_oldest_unsettled_age_seconds",
     "Age of the oldest message that is not settled, 0 when there is none; absent while it is not in memory.", gauge,
     [](const auto& s, timestamp now) -> std::optional<double> {
         if (!s.has_unsettled) return 0;
         if (!s.oldest) return std::nullopt;
         return seconds_of(std::max(std::chrono::microseconds{0}, now - *s.oldest));
     }},
    {"millrace_subscription_oldest_lease_age_seconds", "Since when the handler works that has been at its message longest; 0 when none does.", gauge,
     [](const auto& s, timestamp now) -> std::optional<double> {
         return s.oldest_start ? seconds_of(std::max(std::chrono::microseconds{0}, now - *s.oldest_start)) : 0;
     }},
    {"millrace_subscription_acked_messages_total", "Messages acked, since the subscription was created.", counter,
     [](const auto& s, timestamp) -> std::optional<double> { return s.settled.acked; }},
    {"millrace_subscription_dead_messages_total", "Messages moved to the dead-letter topic, since the subscription was created.", counter,
     [](const auto& s, timestamp) -> std::optional<double> { return s.settled.dead; }},
    {"millrace_subscription_expired_messages_total", "Messages that grew too old or were pushed out, since the subscription was created.", counter,
     [](const auto& s, timestamp) -> std::optional<double> { return s.settled.expired; }},
    {"millrace_subscription_skipped_messages_total", "Messages purged or passed over, since the subscription was created.", counter,
     [](const auto& s, timestamp) -> std::optional<double> { return s.settled.skipped; }},
    {"millrace_subscription_messages_total", "Messages that came to the subscription, since it was created.", counter,
     [](const auto& s, timestamp) -> std::optional<double> { return s.messages; }},
    {"millrace_subscription_unaccounted_messages",
     "How far those that came are from the sum of those that are settled, ready, leased and delayed: 0, or the broker has lost count.", gauge,
     [](const auto& s, timestamp) -> std::optional<double> { return s.unaccounted; }},
    {"millrace_subscription_delivered_messages_total", "Messages given to consumers, since the store was opened.", counter,
     [](const auto& s, timestamp) -> std::optional<double> { return s.deliveries; }},
    {"millrace_subscription_redelivered_messages_total", "Of them, those that had failed before.", counter,
     [](const auto& s, timestamp) -> std::optional<double> { return s.redeliveries; }},
};

void add_topics(writer& out, const snapshot& taken) {
    for (const auto& series : series_of_topic) {
        MetricFamily family{series.name, series.help, series.type, {}};
        family.metric.reserve(taken.topics.size());
        for (const auto& t : taken.topics) family.metric.push_back(metric_of(series.type, series.value(t), {{"topic", t.name}}));
        out.add(std::move(family));
    }
    for (const auto& series : series_of_subscription) {
        MetricFamily family{series.name, series.help, series.type, {}};
        for (const auto& t : taken.topics)
            for (const auto& s : t.subscriptions)
                if (const auto value = series.value(s, taken.state.now))
                    family.metric.push_back(metric_of(series.type, *value, {{"topic", t.name}, {"subscription", s.name}}));
        out.add(std::move(family));
    }
}

std::uint64_t series_left_out(const snapshot& taken) {
    std::uint64_t subscriptions = 0;
    for (const auto& t : taken.topics) subscriptions += t.subscriptions.size();
    const auto beyond = [](std::uint64_t all, std::uint64_t shown) { return all > shown ? all - shown : 0; };  // both may have changed meanwhile
    return beyond(taken.all_topics, taken.topics.size()) * std::size(series_of_topic) +
           beyond(taken.all_subscriptions, subscriptions) * std::size(series_of_subscription);
}

}  // namespace

std::string exposition(const snapshot& taken) {
    writer out;
    add_broker(out, taken);
    add_traffic(out, taken.state.counted);
    add_topics(out, taken);
    out.add("millrace_metric_series_capped", "Series left out, as only the oldest 10000 topics have some of their own.", gauge, series_left_out(taken));
    return std::move(out).text();
}

}  // namespace millrace::admin
