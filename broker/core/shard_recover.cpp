// A shard as its rows say. The catalog must be whole: without it nobody knows what the rest belongs to. A subscription whose own rows cannot be read, or
// cannot all be true, is set aside (quarantine), and the rest serves.
#include <utility>

#include "broker/core/shard.hpp"

namespace millrace::core {

struct shard::found_rows {
    std::vector<progress_row> progress;
    std::vector<log_row> logs;
    std::vector<failure_row> failures;
    std::vector<hand_over_row> hand_overs;
    std::vector<arrival_row> arrivals;
    std::vector<std::pair<subscription_id, error>> unreadable;
};

namespace {

error damaged(std::string what) { return {errc::corruption, std::move(what)}; }

/// Of a subscription: what cannot be read is its own trouble.
template <class Row, class Found>
error take_own(const row& r, std::vector<Row>& into, Found& found) {
    Row taken;
    auto bad = decode(r, taken);
    if (!bad) {
        into.push_back(std::move(taken));
        return {};
    }
    const auto owner = subscription_of(r.key);
    if (!owner) return bad;
    found.unreadable.emplace_back(*owner, std::move(bad));
    return {};
}

}  // namespace

result<shard> shard::recover(const shard_settings& settings, const std::vector<row>& rows) {
    shard s(settings);
    found_rows found;
    error bad;
    for (const auto& r : rows)
        if (bad = s.take_row(r, found); bad) break;
    if (!bad) bad = s.recover_logs(found);
    if (!bad) bad = s.recover_progress(found);
    if (!bad) bad = s.recover_failures(found);
    if (bad) return error{bad.code, bad.what + " (look at the whole store with: millrace check DIR)"};
    s.recover_work();
    return s;
}

error shard::take_row(const core::row& r, found_rows& found) {
    switch (r.key.empty() ? '\0' : r.key.front()) {
        case 'M': return decode(r, meta_);
        case 'G': return take_own(r, found.progress, found);
        case 'F': return take_own(r, found.failures, found);
        case 'H': return take_own(r, found.hand_overs, found);
        case 'I': return take_own(r, found.arrivals, found);
        case 'N':
        case 'Q': return producers_.recover(r);
        case 'P': return decode(r, found.logs.emplace_back());
        case 'T': {
            topic t;
            if (auto bad = decode(r, t.row)) return bad;
            names_[t.row.name] = t.row.id;
            note_aging(t);
            topics_.emplace(t.row.id, std::move(t));
            return {};
        }
        case 'S': {
            subscription sub;
            if (auto bad = decode(r, sub.row)) return bad;
            subscriptions_.emplace(sub.row.id, std::move(sub));
            return {};
        }
        default: return damaged("a row of an unknown table '" + r.key.substr(0, 1) + "'");
    }
}

error shard::recover_logs(const found_rows& found) {
    for (const auto& l : found.logs) {
        if (!settings_.place.holds(l.partition.topic)) continue;
        auto* t = find_topic(l.partition.topic);
        if (!t || l.partition.index != t->logs.size())
            return damaged("a log row of partition " + std::to_string(l.partition.index) + " has no topic or no predecessor");
        t->logs.emplace_back(l);
        ++logs_;
    }
    for (const auto& [id, t] : topics_)
        if (!is_elsewhere(t) && t.logs.size() != t.row.settings.partitions)
            return damaged("topic '" + t.row.name + "' has " + std::to_string(t.logs.size()) + " of " + std::to_string(t.row.settings.partitions) + " partitions");
    for (auto& [id, sub] : subscriptions_) {
        auto* t = find_topic(sub.row.topic);
        if (!t) return damaged("subscription '" + sub.row.name + "' has no topic");
        t->subscriptions[sub.row.name] = id;
    }
    return {};
}

/// Every subscription of this shard gets a progress in every partition; in quarantine, one that says nothing where none is stored.
error shard::recover_progress(const found_rows& found) {
    std::map<std::pair<subscription_id, std::uint32_t>, const progress_row*> stored;
    for (const auto& p : found.progress) {
        auto* sub = find_subscription(p.subscription);
        if (!sub) return damaged("the progress of subscription " + std::to_string(static_cast<std::uint32_t>(p.subscription)) + " belongs to none that there is");
        if (is_elsewhere(*find_topic(sub->row.topic))) continue;
        if (p.partition >= find_topic(sub->row.topic)->logs.size()) quarantine(*sub, p.partition, "it has progress in a partition that there is not");
        stored[{p.subscription, p.partition}] = &p;
    }
    for (const auto& [id, bad] : found.unreadable) {
        auto* sub = find_subscription(id);
        if (!sub) return bad;
        if (!is_elsewhere(*find_topic(sub->row.topic))) quarantine(*sub, 0, bad.what);
    }
    for (auto& [id, sub] : subscriptions_)
        for (const auto& log : find_topic(sub.row.topic)->logs) {
            const auto index = log.id().index;
            const auto it = stored.find({id, index});
            if (it == stored.end()) {
                quarantine(sub, index, "it has no progress there");
                sub.partitions.emplace_back(id, index, log.start());
            } else {
                sub.partitions.emplace_back(*it->second);
            }
        }
    return {};
}

error shard::recover_failures(const found_rows& found) {
    const auto take = [this](const auto& r, const char* what) -> error {
        auto* sub = find_subscription(r.subscription);
        if (!sub) return damaged(std::string(what) + " message " + std::to_string(r.at.value) + " has no subscription");
        if (is_elsewhere(*find_topic(sub->row.topic))) return {};
        if (r.partition < sub->partitions.size())
            sub->partitions[r.partition].recover(r);
        else
            quarantine(*sub, r.partition, std::string(what) + " message " + std::to_string(r.at.value) + " is in a partition that there is not");
        return {};
    };
    for (const auto& f : found.failures)
        if (auto bad = take(f, "failed")) return bad;
    for (const auto& h : found.hand_overs)
        if (auto bad = take(h, "dead")) return bad;
    for (const auto& a : found.arrivals) {
        const auto* sub = find_subscription(a.what.subscription);
        const auto is_ours = sub ? a.what.partition < sub->partitions.size() : settings_.place.index == 0;
        if (is_ours) arrived_.insert(a.what);
    }
    for (auto& [id, sub] : subscriptions_)
        for (const auto& p : sub.partitions)
            if (auto wrong = p.contradiction(find_log({sub.row.topic, p.partition()})->next()); !wrong.empty()) quarantine(sub, p.partition(), wrong);
    return {};
}

/// What there is to do at once: deliver, hand over, wait for deadlines, give space back.
void shard::recover_work() {
    for (auto& [id, sub] : subscriptions_) {
        if (sub.inconsistent) continue;
        for (auto& p : sub.partitions) {
            sub.work.insert(p.partition());
            p.expect_returns(find_log({sub.row.topic, p.partition()})->high());
            adopting_ |= p.may_be_held();
            arm(sub, p.partition());
            for (const auto& [at, h] : p.hand_overs())
                if (!arrived_.contains({id, p.partition(), at})) stalled_.push_back(hand_over_of(sub, h));
        }
    }
    for (auto& [id, t] : topics_)
        for (auto& log : t.logs) log.set_low(low_of(t, log.id().index));
    just_recovered_ = !topics_.empty();
    if (just_recovered_ || !arrived_.empty()) deadline_ = timestamp{};
    open_.number = open_number();
}

}  // namespace millrace::core
