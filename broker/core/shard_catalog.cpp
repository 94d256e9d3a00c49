// Topics and subscriptions: made, looked at, changed, deleted.
#include <algorithm>

#include "broker/core/invariant.hpp"
#include "broker/core/shard.hpp"

namespace millrace::core {
namespace {

constexpr std::uint32_t names_per_page = 1000;

}  // namespace

shard::topic* shard::find_topic(const std::string& name) {
    const auto it = names_.find(name);
    return it == names_.end() ? nullptr : &topics_.at(it->second);
}

shard::topic* shard::find_topic(topic_id id) {
    const auto it = topics_.find(id);
    return it == topics_.end() ? nullptr : &it->second;
}

subscription* shard::find_subscription(subscription_id id) {
    const auto it = subscriptions_.find(id);
    return it == subscriptions_.end() ? nullptr : &it->second;
}

partition_log* shard::find_log(partition_id id) {
    auto* t = find_topic(id.topic);
    return t && id.index < t->logs.size() ? &t->logs[id.index] : nullptr;
}

result<shard::topic*> shard::named_topic(const std::string& name) {
    if (auto* t = find_topic(name)) return t;
    return no_topic(name);
}

error shard::no_topic(const std::string& name) {
    return {errc::no_such_topic, "there is no topic '" + name + "' (create it with: millrace topic create " + name + ")"};
}

error shard::no_subscription(const std::string& topic_name, const std::string& name) {
    return {errc::no_such_subscription, "topic '" + topic_name + "' has no subscription '" + name + "' (create it with: millrace subscription create " +
                                            topic_name + " " + name + ")"};
}

result<subscription*> shard::named_subscription(const std::string& topic_name, const std::string& name) {
    auto t = named_topic(topic_name);
    if (!t) return t.failure();
    const auto it = t.value()->subscriptions.find(name);
    if (it == t.value()->subscriptions.end()) return no_subscription(topic_name, name);
    return find_subscription(it->second);
}

void shard::put_catalog(row changed) {
    catalog_rows_[std::move(changed.key)] = std::move(changed.value);
}

void shard::erase_catalog(std::string key) {
    catalog_rows_[std::move(key)] = std::nullopt;
}

void shard::put_meta() {
    ++meta_.catalog_version;
    put_catalog(encode(meta_));
}

sequence shard::low_of(const topic& t, std::uint32_t partition) const {
    if (t.subscriptions.empty()) return t.logs[partition].start();
    auto low = t.logs[partition].next();
    for (const auto& [name, id] : t.subscriptions) {
        const auto& s = subscriptions_.at(id);
        low = std::min(low, s.inconsistent ? t.logs[partition].start() : s.partitions[partition].least_needed());
    }
    return low;
}

void shard::add_partitions(topic& t, std::uint32_t count) {
    while (t.logs.size() < count) {
        const partition_id id{t.row.id, static_cast<std::uint32_t>(t.logs.size())};
        t.logs.emplace_back(log_row{id, {}, {}, {}, 0, 0});
        ++logs_;
        dirty_logs_.insert(id);
        for (const auto& [name, sub] : t.subscriptions) {
            find_subscription(sub)->partitions.emplace_back(sub, id.index, sequence{});
            dirty_progress_.emplace(sub, id.index);
        }
    }
}

void shard::perform(const input::list_metadata& c) {
    answers::metadata found{meta_.catalog_version, {}};
    for (const auto& name : c.topics) {
        const auto* t = find_topic(name);
        found.topics.push_back({name, t ? std::optional(t->row.id) : std::nullopt, t ? t->row.settings.partitions : 0});
    }
    reply(c.from, std::move(found));
}

void shard::perform(const input::create_topic& c) {
    if (auto refused = check_name("topic", c.name)) return reply(c.from, std::move(refused));
    if (find_topic(c.name)) return reply(c.from, error{errc::topic_exists, "there is a topic '" + c.name + "' already"});
    auto settings = apply(c.settings, topic_settings{}, true);
    if (!settings) return reply(c.from, settings.failure());

    const topic_id id{meta_.next_topic++};
    invariant(settings_.place.holds(id), "a topic was made by another shard than its own", static_cast<std::uint64_t>(id));
    auto& t = topics_[id];
    t.row = {id, c.name, now_, settings.value()};
    note_aging(t);
    names_[c.name] = id;
    add_partitions(t, t.row.settings.partitions);
    put_catalog(encode(t.row));
    put_meta();
    wake_at(now_);
    reply(c.from, describe(t));
}

void shard::perform(const input::update_topic& c) {
    auto found = named_topic(c.name);
    if (!found) return reply(c.from, found.failure());
    auto& t = *found.value();
    auto settings = apply(c.settings, t.row.settings, false);
    if (!settings) return reply(c.from, settings.failure());
    if (settings.value().partitions > t.logs.size())
        if (auto refused = refuse_quarantined(t)) return reply(c.from, std::move(refused));
    t.row.settings = settings.value();
    note_aging(t);
    add_partitions(t, t.row.settings.partitions);
    put_catalog(encode(t.row));
    put_meta();
    for (auto& log : t.logs) {
        reclaim(t, log);
        enforce_limits(t, log);
    }
    wake_at(now_);
    reply(c.from, describe(t));
}

void shard::perform(const input::describe_topic& c) {
    auto found = named_topic(c.name);
    if (!found) return reply(c.from, found.failure());
    reply(c.from, describe(*found.value()));
}

void shard::perform(const input::list_topics& c) {
    const auto limit = c.limit == 0 ? names_per_page : std::min(c.limit, names_per_page);
    answers::name_page page;
    for (auto it = names_.upper_bound(c.after); it != names_.end(); ++it) {
        if (page.names.size() == limit) {
            page.more = true;
            break;
        }
        page.names.push_back(it->first);
    }
    reply(c.from, std::move(page));
}

void shard::perform(const input::delete_topic& c) {
    auto found = named_topic(c.name);
    if (!found) return reply(c.from, found.failure());
    auto& t = *found.value();
    for (const auto& [name, id] : t.subscriptions) {
        const auto consumers = find_subscription(id)->consumers;
        if (consumers > 0 && !c.force)
            return reply(c.from, error{errc::in_use, "topic '" + c.name + "' has " + std::to_string(consumers) + " consumers on subscription '" +
                                                         name + "': end them, or delete with force"});
    }
    for (const auto& [id, s] : subscriptions_)
        if (s.row.settings.dead_letter == c.name && s.row.topic != t.row.id && !c.force)
            return reply(c.from, error{errc::in_use, "topic '" + c.name + "' takes the dead letters of subscription '" + s.row.name + "' of topic '" +
                                                         topics_.at(s.row.topic).row.name + "': point that elsewhere, or delete with force"});
    const error why{errc::no_such_topic, "topic '" + c.name + "' was deleted"};
    while (!t.subscriptions.empty()) remove_subscription(*find_subscription(t.subscriptions.begin()->second), why);
    for (const auto& log : t.logs) {
        mutations_.push_back(drop_partition{log.id()});
        dirty_logs_.erase(log.id());
        to_free_.erase(log.id());
    }
    mutations_.push_back(erase_rows{log_rows(t.row.id)});
    erase_catalog(topic_key(t.row.id));
    put_meta();
    producers_.forget_topic(t.row.id);
    logs_ -= t.logs.size();
    names_.erase(t.row.name);
    aging_.erase(t.row.id);
    topics_.erase(t.row.id);
    reply(c.from, answers::done{});
}

void shard::perform(const input::create_subscription& c) {
    auto found = named_topic(c.topic);
    if (!found) return reply(c.from, found.failure());
    auto& t = *found.value();
    if (auto refused = check_name("subscription", c.name)) return reply(c.from, std::move(refused));
    if (t.subscriptions.contains(c.name))
        return reply(c.from, error{errc::subscription_exists, "topic '" + c.topic + "' has a subscription '" + c.name + "' already"});
    auto settings = apply(c.settings, subscription_settings{});
    if (!settings) return reply(c.from, settings.failure());
    if (c.start.where > start_from::kind::sequence)
        return reply(c.from, error{errc::invalid_argument, "a subscription starts at earliest, latest or a sequence"});

    if (auto refused = check_dead_letter(t, settings.value().dead_letter)) return reply(c.from, std::move(refused));
    const subscription_id id{meta_.next_subscription++};
    auto& s = subscriptions_[id];
    s.row = {id, t.row.id, c.name, now_, settings.value()};
    for (auto& log : t.logs) {
        auto start = log.start();
        if (c.start.where == start_from::kind::latest) start = log.next();
        if (c.start.where == start_from::kind::sequence) start = std::clamp(c.start.at, log.start(), log.next());
        s.partitions.emplace_back(id, log.id().index, start);
        s.work.insert(log.id().index);
        dirty_progress_.emplace(id, log.id().index);
    }
    t.subscriptions[c.name] = id;
    for (auto& log : t.logs) {
        log.set_low(low_of(t, log.id().index));
        dirty_logs_.insert(log.id());
    }
    put_catalog(encode(s.row));
    put_meta();
    for (auto& log : t.logs) reclaim(t, log);
    reply(c.from, describe(s));
}

void shard::perform(const input::update_subscription& c) {
    auto found = named_subscription(c.topic, c.name);
    if (!found) return reply(c.from, found.failure());
    auto& s = *found.value();
    if (s.inconsistent) return reply(c.from, s.inconsistent);
    auto settings = apply(c.settings, s.row.settings);
    if (!settings) return reply(c.from, settings.failure());
    if (auto refused = check_dead_letter(*find_topic(s.row.topic), settings.value().dead_letter)) return reply(c.from, std::move(refused));
    s.row.settings = settings.value();
    if (s.row.settings.dead_letter.empty()) park_hand_overs(s);
    put_catalog(encode(s.row));
    put_meta();
    reply(c.from, describe(s));
}

/// A dead letter must never come back to where it died: following the dead-letter topics of `target` must not lead to `source`.
error shard::check_dead_letter(const topic& source, const std::string& target) const {
    if (target.empty()) return {};
    if (!names_.contains(target))
        return {errc::no_such_topic, "there is no dead-letter topic '" + target + "' (create it with: millrace topic create " + target + ")"};
    std::set<std::string> reached{target};
    std::vector<std::string> next{target};
    while (!next.empty()) {
        const auto name = next.back();
        next.pop_back();
        if (name == source.row.name)
            return {errc::invalid_argument, "dead letters to '" + target + "' would come back to topic '" + source.row.name + "'"};
        const auto it = names_.find(name);
        if (it == names_.end()) continue;
        for (const auto& [sub, id] : topics_.at(it->second).subscriptions) {
            const auto& further = subscriptions_.at(id).row.settings.dead_letter;
            if (!further.empty() && reached.insert(further).second) next.push_back(further);
        }
    }
    return {};
}

void shard::perform(const input::describe_subscription& c) {
    auto found = named_subscription(c.topic, c.name);
    if (!found) return reply(c.from, found.failure());
    reply(c.from, describe(*found.value()));
}

void shard::perform(const input::list_subscriptions& c) {
    auto found = named_topic(c.topic);
    if (!found) return reply(c.from, found.failure());
    answers::subscription_names page;
    for (const auto& [name, id] : found.value()->subscriptions) page.names.push_back(name);
    reply(c.from, std::move(page));
}

void shard::perform(const input::delete_subscription& c) {
    auto found = named_subscription(c.topic, c.name);
    if (!found) return reply(c.from, found.failure());
    auto& s = *found.value();
    if (s.consumers > 0 && !c.force)
        return reply(c.from, error{errc::in_use, "subscription '" + c.name + "' has " + std::to_string(s.consumers) +
                                                     " consumers: end them, or delete with force"});
    auto& t = *find_topic(s.row.topic);
    remove_subscription(s, {errc::no_such_subscription, "subscription '" + c.name + "' of topic '" + c.topic + "' was deleted"});
    put_meta();
    for (auto& log : t.logs) {
        log.set_low(low_of(t, log.id().index));
        dirty_logs_.insert(log.id());
        reclaim(t, log);
        free_all_holes(t, log);  // entries that it alone still needed
    }
    reply(c.from, answers::done{});
}

void shard::remove_subscription(subscription& s, const error& why) {
    const auto id = s.row.id;
    for (auto it = consumers_.begin(); it != consumers_.end();) {
        if (it->second.subscription != id) {
            ++it;
            continue;
        }
        open_.ended.push_back({it->first.session, it->first.consumer, why});
        it = consumers_.erase(it);
    }
    for (const auto& p : s.partitions) {
        dirty_progress_.erase({id, p.partition()});
        loading_blocks_.erase({id, p.partition()});
        if (const auto armed = armed_.extract({id, p.partition()})) timers_.erase({armed.mapped(), armed.key()});
    }
    std::erase_if(stalled_, [&](const hand_over& h) { return h.subscription == id; });
    std::erase_if(moving_, [&](const dead_message& m) { return m.subscription == id; });
    mutations_.push_back(erase_rows{failure_rows(id)});
    mutations_.push_back(erase_rows{hand_over_rows(id)});
    mutations_.push_back(erase_rows{arrival_rows(id)});
    mutations_.push_back(erase_rows{progress_rows(id)});
    mutations_.push_back(erase_rows{block_rows(id)});
    erase_catalog(subscription_key(id));
    find_topic(s.row.topic)->subscriptions.erase(s.row.name);
    subscriptions_.erase(id);
    resume_parked([&](const parked& p) { return p.subscription == id; });
}

answers::topic_info shard::describe(const topic& t) const {
    answers::topic_info info{t.row.name, t.row.id, t.row.created_at, t.row.settings, {}, {}};
    for (const auto& log : t.logs) info.partitions.push_back({log.start(), log.low(), log.high(), log.bytes(), log.backlog_bytes()});
    for (const auto& [name, id] : t.subscriptions) info.subscriptions.push_back(name);
    return info;
}

answers::subscription_info shard::describe(const subscription& s) const {
    const auto& t = topics_.at(s.row.topic);
    answers::subscription_info info{t.row.name, s.row.name, s.row.id, s.row.created_at, s.row.settings, s.consumers, {}, s.inconsistent.what};
    for (const auto& p : s.partitions) {
        const auto high = t.logs[p.partition()].high();
        if (s.inconsistent)
            info.partitions.push_back({p.start(), p.cursor(), high, p.counts(), 0, 0, 0});  // as stored: who knows what of it is true
        else
            info.partitions.push_back({p.start(), p.cursor(), high, p.counts(), p.delayed(), p.ready(high), p.leased()});
    }
    return info;
}

}  // namespace millrace::core
