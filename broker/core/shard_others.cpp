// What the other shards of a broker have done. The catalog is the same in all of them: a change is made by the shard of its topic, one change at a time, and
// answered when every other shard has learned of it. Of a topic that is elsewhere a shard knows the name, the settings and the subscriptions; it has no
// partition of it.
//
// A message whose dead-letter topic is elsewhere arrives there exactly once, without a transaction across shards:
//
//   here   bury: hand-over row ──► envelope ──► arrive: entry and arrival row in one commit   there
//          moved: both rows are erased, in one commit ◄── answered when that is durable
//
// Whatever comes between, a hand-over row with an arrival row has arrived, and one without has not.
#include <algorithm>

#include "broker/core/invariant.hpp"
#include "broker/core/shard.hpp"

namespace millrace::core {

std::optional<topic_id> shard::topic_named(const std::string& name) const {
    const auto it = names_.find(name);
    return it == names_.end() ? std::nullopt : std::optional(it->second);
}

void shard::perform(const input::learn_topic& c) {
    invariant(!settings_.place.holds(c.row.id), "a topic was learned of by its own shard", static_cast<std::uint64_t>(c.row.id));
    topics_[c.row.id].row = c.row;
    names_[c.row.name] = c.row.id;
    meta_.next_topic = std::max(meta_.next_topic, static_cast<std::uint32_t>(c.row.id) + 1);
    ++meta_.catalog_version;
    reply(c.from, answers::done{});
}

void shard::perform(const input::learn_subscription& c) {
    auto* t = find_topic(c.row.topic);
    invariant(t && is_elsewhere(*t), "a subscription was learned of by its own shard, or before its topic", static_cast<std::uint64_t>(c.row.id));
    subscriptions_[c.row.id].row = c.row;
    t->subscriptions[c.row.name] = c.row.id;
    meta_.next_subscription = std::max(meta_.next_subscription, static_cast<std::uint32_t>(c.row.id) + 1);
    ++meta_.catalog_version;
    reply(c.from, answers::done{});
}

void shard::perform(const input::forget_topic& c) {
    if (auto* t = find_topic(c.name)) {
        const auto id = t->row.id;
        for (const auto& [name, sub] : t->subscriptions) subscriptions_.erase(sub);
        names_.erase(c.name);
        topics_.erase(id);
    }
    ++meta_.catalog_version;
    reply(c.from, answers::done{});
}

void shard::perform(const input::forget_subscription& c) {
    if (auto* t = find_topic(c.topic)) {
        const auto it = t->subscriptions.find(c.name);
        if (it != t->subscriptions.end()) {
            subscriptions_.erase(it->second);
            t->subscriptions.erase(it);
        }
    }
    ++meta_.catalog_version;
    reply(c.from, answers::done{});
}

void shard::perform(const input::learn_producer& c) {
    meta_.next_producer = std::max(meta_.next_producer, static_cast<std::uint64_t>(c.id) + 1);
    reply(c.from, answers::producer_opened{c.id, c.epoch, producers_.learn(c.id, c.name, c.epoch, c.incarnation, now_)});
}

void shard::perform(const input::forget_producer& c) {
    if (auto refused = producers_.forget(c.id, now_)) return reply(c.from, std::move(refused));
    reply(c.from, answers::done{});
}

void shard::perform(const input::note_use& c) { producers_.note_use(c.id, now_); }

void shard::perform(const input::arrive& a) {
    auto* log = find_log(a.target);
    if (!log) return reply(a.from, error{errc::no_such_topic, "the dead-letter topic is gone"});
    if (auto refused = refuse_at_limit(*find_topic(a.target.topic), *log, a.record_ends.back())) return reply(a.from, std::move(refused));
    const auto where = log->append(now_, a.record_ends);
    out_->taken = accepted{a.target, where.entry, where.first, log->newest()};
    dirty_logs_.insert(a.target);
    put_catalog(encode(arrival_row{a.what, a.target}));
    reply(a.from, answers::done{});
}

void shard::perform(const input::moved& m) {
    moving_.erase(m.what);
    auto* s = find_subscription(m.what.subscription);
    if (s && s->inconsistent) return;  // its rows stay as they are
    const auto is_on_its_way = s && s->partitions[m.what.partition].hand_overs().contains(m.what.at);
    if (!m.refused) erase_catalog(arrival_key(m.what));
    if (!is_on_its_way) return;  // its subscription was deleted meanwhile
    auto& p = s->partitions[m.what.partition];
    if (m.refused && !s->row.settings.dead_letter.empty()) return stall(*s, p.hand_overs().at(m.what.at));
    if (m.refused)  // and no topic takes its dead any more
        p.park_hand_overs([&](sequence at) { return at == m.what.at; });
    else
        p.handed_over(m.what.at);
    progressed(*s, m.what.partition, m.what.at, m.what.at);
}

}  // namespace millrace::core
