// What the store cannot give, or gives and cannot be true: a subscription goes into quarantine, a damaged message is passed over by name. Neither may
// cost anybody else anything.
#include <utility>

#include "broker/core/shard.hpp"

namespace millrace::core {

std::string shard::place_of(partition_id id) const {
    const auto it = topics_.find(id.topic);
    return "partition " + std::to_string(id.index) + " of topic " +
           (it == topics_.end() ? std::to_string(static_cast<std::uint32_t>(id.topic)) : "'" + it->second.row.name + "'");
}

std::vector<error> shard::quarantined() const {
    std::vector<error> all;
    for (const auto& [id, s] : subscriptions_)
        if (s.inconsistent) all.push_back(s.inconsistent);
    return all;
}

/// Nothing more of it is believed, changed or given out; what it may need stays. Its consumers are told and leave.
void shard::quarantine(subscription& s, std::uint32_t partition, const std::string& what) {
    if (s.inconsistent) return;  // the first finding suffices
    const auto id = s.row.id;
    s.inconsistent = {errc::inconsistent, "subscription '" + s.row.name + "' in " + place_of({s.row.topic, partition}) + ": " + what +
                                              "; nothing of it is served until the broker is stopped and what is stored is put right with: "
                                              "millrace check DIR --repair"};
    if (!out_) return;  // being recovered: nobody waits for anything yet
    out_->alarms.push_back(s.inconsistent);
    resume_parked([&](const parked& p) { return p.subscription == id; });
    for (auto it = consumers_.begin(); it != consumers_.end();) {
        if (it->second.subscription != id) {
            ++it;
            continue;
        }
        out_->ended.push_back({it->first.session, it->first.consumer, s.inconsistent});
        it = consumers_.erase(it);
    }
    s.consumers = 0;
    s.hungry.clear();
    s.work.clear();
    std::erase_if(stalled_, [&](const hand_over& h) { return h.subscription == id; });
    for (const auto& p : s.partitions) {
        const progress_key key{id, p.partition()};
        loading_blocks_.erase(key);
        if (const auto armed = armed_.extract(key)) timers_.erase({armed.mapped(), armed.key()});
    }
    auto& t = *find_topic(s.row.topic);
    for (auto& log : t.logs) log.set_low(low_of(t, log.id().index));
}

/// What would settle messages of every subscription cannot be done while one of them is in quarantine.
error shard::refuse_quarantined(const topic& t) const {
    for (const auto& [name, id] : t.subscriptions)
        if (const auto& s = subscriptions_.at(id); s.inconsistent) return s.inconsistent;
    return {};
}

void shard::perform(const input::scan_failed& f) {
    loading_blocks_.erase({f.subscription, f.partition});
    auto* s = find_subscription(f.subscription);
    if (!s || s->inconsistent) return;
    if (f.why.code == errc::corruption) return quarantine(*s, f.partition, f.why.what);
    read_again_later();
    failed_scans_[{f.subscription, f.partition}] = f.from;
}

/// The messages become a hole in the log, which every reader passes: what it had not settled of them counts as skipped.
void shard::perform(const input::damaged& d) {
    auto* log = find_log(d.partition);
    if (!log) return;
    if (d.load) log->abandon_load(*d.load);
    log->set_aside(d.first, d.last);
    dirty_logs_.insert(d.partition);
    look_again(*find_topic(d.partition.topic), *log);
}

/// Given back as if it had not been given: the hole is met again, and passed.
void shard::perform(const input::undelivered& u) {
    auto* c = find_consumer(u.session, u.consumer);
    if (!c) return;
    auto& s = *find_subscription(c->subscription);
    progress::handed_in in;
    std::vector<lease_range> lost;
    s.partitions[u.range.partition].release(u.range, c->id, in, lost);
    c->held -= in.released;
    c->messages += in.released;
    c->give_bytes(u.bytes);
    s.work.insert(u.range.partition);
    feed(*c);
    pump(s);
}

}  // namespace millrace::core
