// What happens to messages that consumers hold: started, extended, handed in; deadlines; and the way of the dead to another topic.
#include <algorithm>

#include "broker/core/shard.hpp"

namespace millrace::core {
namespace {

/// Deadlines are looked at so often at most: a lease may end so much late, and a delayed message come so much late.
constexpr auto timer_grain = std::chrono::milliseconds{20};
constexpr auto hand_over_retry = std::chrono::seconds{1};
constexpr std::size_t reason_bytes_max = 1024;

}  // namespace

/// The consumer that sends about `ranges`, which must name messages that there are.
result<consumer*> shard::owner_of(origin from, consumer_id id, const std::vector<lease_range>& ranges) {
    auto* owner = find_consumer(from.session, id);
    if (!owner)
        return error{errc::no_such_consumer, "this session has no consumer " + std::to_string(static_cast<std::uint32_t>(id))};
    const auto& s = *find_subscription(owner->subscription);
    for (const auto& r : ranges) {
        if (r.partition >= s.partitions.size())
            return error{errc::no_such_partition, "a lease names partition " + std::to_string(r.partition) + " of " +
                                                      std::to_string(s.partitions.size())};
        const auto high = find_log({s.row.topic, r.partition})->high();
        if (r.first > r.last || r.last >= high)
            return error{errc::invalid_argument, "a lease names messages " + std::to_string(r.first.value) + " to " +
                                                     std::to_string(r.last.value) + " of " + std::to_string(high.value)};
    }
    return owner;
}

/// Applies one way of handing in to every range, then what follows from it: exhausted messages leave, cursors move, the consumer is fed.
template <class Command, class Apply>
void shard::hand_in(const Command& c, const std::string& reason, Apply apply) {
    const auto found = owner_of(c.from, c.consumer, c.ranges);
    if (!found) return reply(c.from, found.failure());
    auto& owner = *found.value();
    auto& s = *find_subscription(owner.subscription);
    if (s.inconsistent) return reply(c.from, s.inconsistent);
    // What had failed before a restart may be settled late, by somebody who holds it no more.
    if (park_until_known(s, c.ranges, [&] { return any_input(c); })) return;
    answers::acked answer;
    for (const auto& r : c.ranges) {
        auto& p = s.partitions[r.partition];
        progress::handed_in in;
        const auto acked_before = p.counts().acked;
        apply(p, r, owner.id, in, answer.lost);
        acked_ += p.counts().acked - acked_before;
        owner.held -= in.released;
        exhaust(s, p, in.exhausted, reason);
        s.work.insert(r.partition);
        if (in.is_stored) progressed(s, r.partition, r.first, r.last);
        arm(s, r.partition);
    }
    reply(c.from, std::move(answer));
    feed(owner);
    pump(s);
}

void shard::perform(const input::ack& c) {
    hand_in(c, {}, [](progress& p, const lease_range& r, holder_id id, auto& in, auto& lost) { p.ack(r, id, in, lost); });
}

void shard::perform(const input::release& c) {
    hand_in(c, {}, [](progress& p, const lease_range& r, holder_id id, auto& in, auto& lost) { p.release(r, id, in, lost); });
}

void shard::perform(const input::nack& c) {
    hand_in(c, c.reason, [&](progress& p, const lease_range& r, holder_id id, auto& in, auto& lost) {
        p.nack(r, id, now_, find_subscription(find_consumer(id.session, id.consumer)->subscription)->row.settings, in, lost);
    });
}

void shard::perform(const input::reject& c) {
    hand_in(c, c.reason, [](progress& p, const lease_range& r, holder_id id, auto& in, auto& lost) { p.reject(r, id, in, lost); });
}

void shard::perform(const input::start& c) {
    const auto owner = owner_of({c.session, {}}, c.consumer, c.ranges);
    if (!owner) return;  // it ended, or its subscription did, while this was on its way
    auto& s = *find_subscription(owner.value()->subscription);
    for (const auto& r : c.ranges) {
        s.partitions[r.partition].start(r, owner.value()->id, now_, s.row.settings.visibility_timeout);
        arm(s, r.partition);
    }
}

void shard::perform(const input::extend& c) {
    const auto owner = owner_of(c.from, c.consumer, c.ranges);
    if (!owner) return reply(c.from, owner.failure());
    auto& s = *find_subscription(owner.value()->subscription);
    answers::acked answer;
    for (const auto& r : c.ranges)
        s.partitions[r.partition].extend(r, owner.value()->id, now_, s.row.settings.visibility_timeout, settings_.longest_lease, answer.lost, answer.limited);
    reply(c.from, std::move(answer));
}

// ---- time ----

void shard::wake_at(timestamp when) {
    if (!deadline_ || when < *deadline_) deadline_ = when;
}

void shard::arm(subscription& s, std::uint32_t partition) {
    const auto due = s.partitions[partition].next_due();
    if (!due) return;
    const progress_key key{s.row.id, partition};
    const auto [it, added] = armed_.try_emplace(key, *due);
    if (!added) {
        if (it->second <= *due) return;
        timers_.erase({it->second, key});
        it->second = *due;
    }
    timers_.emplace(*due, key);
    wake_at(*due);
}

/// The first moment that this shard is told. What is stored comes from another clock, which may have been set since.
void shard::begin_time(timestamp now) {
    opened_at_ = now;
    for (auto& [id, s] : subscriptions_) {
        if (s.inconsistent) continue;
        for (auto& p : s.partitions) {
            p.bound_delays(now, s.row.settings);
            arm(s, p.partition());
        }
    }
}

void shard::fire_timers() {
    while (!timers_.empty() && timers_.begin()->first <= now_) {
        const auto key = timers_.begin()->second;
        timers_.erase(timers_.begin());
        armed_.erase(key);
        auto* s = find_subscription(key.first);
        if (!s || s->inconsistent) continue;
        auto& p = s->partitions[key.second];
        progress::handed_in in;
        p.expire(now_, s->row.settings, in);
        for (const auto& [id, count] : in.expired)
            if (auto* c = find_consumer(id.session, id.consumer)) c->held -= count;
        exhaust(*s, p, in.exhausted, "its deliveries ended without an answer");
        if (in.is_stored) dirty_progress_.insert(key);
        if (const auto due = p.next_due()) {
            const auto next = std::max(*due, now_ + timer_grain);
            armed_[key] = next;
            timers_.emplace(next, key);
        }
        s->work.insert(key.second);
        for (const auto& [id, count] : in.expired)
            if (auto* c = find_consumer(id.session, id.consumer)) feed(*c);
        pump(*s);
    }
    if (!timers_.empty()) wake_at(timers_.begin()->first);
}

// ---- the dead ----

void shard::exhaust(subscription& s, progress& p, const std::vector<sequence>& exhausted, const std::string& reason) {
    const auto why = reason.substr(0, reason_bytes_max);
    for (const auto at : exhausted) {
        if (s.row.settings.dead_letter.empty()) {
            p.park(at, why);
            continue;
        }
        p.bury(at, why);
        open_.hand_overs.push_back(hand_over_of(s, p.hand_overs().at(at)));
    }
    if (!exhausted.empty()) progressed(s, p.partition(), exhausted.front(), exhausted.back());
}

hand_over shard::hand_over_of(const subscription& s, const hand_over_row& r) const {
    return {s.row.id, {s.row.topic, r.partition}, r.at, topics_.at(s.row.topic).row.name, s.row.name, r.failures, r.reason};
}

/// No topic takes the dead of this subscription any more: those that have not arrived are parked, as all that die from now on.
void shard::park_hand_overs(subscription& s) {
    const auto stays = [&](std::uint32_t partition) { return [&, partition](sequence at) { return !moving_.contains({s.row.id, partition, at}); }; };
    for (auto& p : s.partitions)
        for (const auto at : p.park_hand_overs(stays(p.partition()))) progressed(s, p.partition(), at, at);
    std::erase_if(stalled_, [&](const hand_over& h) { return h.subscription == s.row.id; });
}

/// The target is missing or full: the row stays, and it is tried again.
void shard::stall(const subscription& s, const hand_over_row& r) {
    if (stalled_.empty()) retry_at_ = now_ + hand_over_retry;
    stalled_.push_back(hand_over_of(s, r));
    wake_at(retry_at_);
}

void shard::retry_hand_overs() {
    if (stalled_.empty()) return;
    if (now_ < retry_at_) return wake_at(retry_at_);
    for (auto& h : std::exchange(stalled_, {})) out_->hand_overs.push_back(std::move(h));
}

void shard::perform(const input::handed_over& h) {
    auto* s = find_subscription(h.subscription);
    if (!s || s->inconsistent || !s->partitions[h.partition].hand_overs().contains(h.at)) return;
    auto& p = s->partitions[h.partition];
    auto* target = find_topic(s->row.settings.dead_letter);
    if (target && is_elsewhere(*target)) {
        if (moving_.insert({h.subscription, h.partition, h.at}).second)
            out_->elsewhere = partition_id{target->row.id, h.partition % target->row.settings.partitions};
        return;
    }
    auto* log = target ? &target->logs[h.partition % target->logs.size()] : nullptr;
    if (!log || refuse_at_limit(*target, *log, h.record_ends.back())) return stall(*s, p.hand_overs().at(h.at));
    // The envelope's entry and the row's erasure are one commit: it arrives exactly once.
    const auto where = log->append(now_, h.record_ends);
    out_->taken = accepted{log->id(), where.entry, where.first, log->newest()};
    dirty_logs_.insert(log->id());
    p.handed_over(h.at);
    progressed(*s, h.partition, h.at, h.at);
}

}  // namespace millrace::core
