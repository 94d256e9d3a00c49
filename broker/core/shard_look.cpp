// For those who look on between steps: nothing in here changes anything.
#include <algorithm>

#include "broker/core/shard.hpp"

namespace millrace::core {
namespace {

template <class Id>
answers::name_page names_after(const std::map<std::string, Id>& all, const std::string& after, std::size_t limit) {
    answers::name_page page;
    auto it = all.upper_bound(after);
    for (; it != all.end() && page.names.size() < limit; ++it) page.names.push_back(it->first);
    page.more = it != all.end();
    return page;
}

}  // namespace

result<answers::topic_info> shard::look_at_topic(const std::string& name) const {
    const auto it = names_.find(name);
    if (it == names_.end()) return no_topic(name);
    return describe(topics_.at(it->second));
}

result<answers::subscription_info> shard::look_at_subscription(const std::string& topic_name, const std::string& name) const {
    const auto it = names_.find(topic_name);
    if (it == names_.end()) return no_topic(topic_name);
    const auto& subscriptions = topics_.at(it->second).subscriptions;
    const auto found = subscriptions.find(name);
    if (found == subscriptions.end()) return no_subscription(topic_name, name);
    return describe(subscriptions_.at(found->second));
}

answers::name_page shard::topic_names(const std::string& after, std::size_t limit) const {
    return names_after(names_, after, limit);
}

result<answers::name_page> shard::subscription_names(const std::string& topic_name, const std::string& after, std::size_t limit) const {
    const auto it = names_.find(topic_name);
    if (it == names_.end()) return no_topic(topic_name);
    return names_after(topics_.at(it->second).subscriptions, after, limit);
}

std::vector<consumer_figures> shard::consumers_of(session_id session) const {
    std::vector<consumer_figures> found;
    for (auto it = consumers_.lower_bound({session, consumer_id{}}); it != consumers_.end() && it->first.session == session; ++it) {
        const auto& c = it->second;
        const auto& s = subscriptions_.at(c.subscription).row;
        found.push_back({c.id.consumer, c.name, topics_.at(s.topic).row.name, s.name, c.messages, static_cast<std::uint64_t>(std::max<std::int64_t>(c.bytes, 0)), c.held});
    }
    return found;
}

std::optional<std::pair<partition_id, sequence>> shard::kept_from(partition_id partition, sequence from) const {
    for (auto it = topics_.lower_bound(partition.topic); it != topics_.end(); ++it) {
        for (const auto& log : it->second.logs) {
            if (log.id() < partition) continue;
            const auto first = log.id() == partition ? std::max(from, log.start()) : log.start();
            if (first < log.high()) return std::pair{log.id(), first};
        }
    }
    return std::nullopt;
}

std::vector<topic_figures> shard::figures_after(topic_id after, std::size_t partitions) const {
    std::vector<topic_figures> found;
    std::size_t looked_at = 0;
    for (auto it = topics_.upper_bound(after); it != topics_.end() && looked_at < partitions; ++it) {
        if (is_elsewhere(it->second)) continue;
        looked_at += it->second.logs.size() * (1 + it->second.subscriptions.size());
        found.push_back(figures_of(it->second));
    }
    return found;
}

topic_figures shard::figures_of(const topic& t) const {
    topic_figures f{t.row.id, t.row.name, static_cast<std::uint32_t>(t.logs.size()), 0, 0, 0, 0, {}};
    for (const auto& log : t.logs) {
        f.high += log.high().value;
        f.messages += log.high() - log.start();
        f.bytes += log.bytes();
        f.backlog_bytes += log.backlog_bytes();
    }
    f.subscriptions.reserve(t.subscriptions.size());
    for (const auto& [name, id] : t.subscriptions) f.subscriptions.push_back(figures_of(t, subscriptions_.at(id)));
    return f;
}

subscription_figures shard::figures_of(const topic& t, const subscription& s) const {
    subscription_figures f;
    f.name = s.row.name;
    f.consumers = s.consumers;
    f.deliveries = s.deliveries;
    f.redeliveries = s.redeliveries;
    if (s.inconsistent) return f;  // who knows what of it is true
    auto all_known = true;
    for (const auto& p : s.partitions) {
        const auto& log = t.logs[p.partition()];
        f.settled += p.counts();
        f.ready += p.ready(log.high());
        f.leased += p.leased();
        if (const auto start = p.oldest_start()) f.oldest_start = std::min(f.oldest_start.value_or(*start), *start);
        f.delayed += p.delayed();
        f.messages += log.high() - std::min(log.high(), p.start());
        f.unaccounted += p.unaccounted(log.high());
        if (p.cursor() >= log.high()) continue;
        f.has_unsettled = true;
        const auto* slot = log.slot_at(p.cursor());
        all_known &= slot != nullptr;
        if (slot) f.oldest = std::min(f.oldest.value_or(slot->appended_at), slot->appended_at);
    }
    if (!all_known) f.oldest.reset();
    return f;
}

}  // namespace millrace::core
