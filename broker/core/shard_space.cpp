// What follows from settling: cursors move, entries are freed, limits are kept.
#include <algorithm>

#include "broker/core/shard.hpp"

namespace millrace::core {

namespace {

constexpr int settled_turns_max = 4096;  // between what one subscription has settled and what the next has, at once: some 0.5 ms

}  // namespace

/// Messages of first..last have been settled by `s`.
void shard::progressed(subscription& s, std::uint32_t partition, sequence first, sequence last) {
    dirty_progress_.emplace(s.row.id, partition);
    const auto& p = s.partitions[partition];
    if (p.has_settled_beyond_cursor() && !p.settled().knows(p.cursor(), p.cursor()))
        request_blocks(s, partition, p.settled().first_unknown_block(p.cursor()));  // what is settled there lets the cursor go on
    auto& t = *find_topic(s.row.topic);
    auto& log = t.logs[partition];
    const auto low = low_of(t, partition);
    if (low != log.low()) {
        log.set_low(low);
        reclaim(t, log);
    }
    if (last >= log.low()) free_holes(t, log, first, last);
}

void shard::reclaim(topic& t, partition_log& log) {
    const auto start = log.start();
    if (const auto missing = log.reclaim(now_, t.row.settings, mutations_)) request_entries(log, *missing);
    if (log.start() != start) dirty_logs_.insert(log.id());
}

/// Frees entries that every subscription has settled though older messages stand: one stuck message does not hold the disk.
void shard::free_holes(topic& t, partition_log& log, sequence first, sequence last) {
    const auto& keep = t.row.settings;
    if (keep.keep_age.count() > 0 || keep.keep_bytes > 0) return;
    auto& unlooked = to_free_[log.id()];
    const auto [at, added] = unlooked.try_emplace(first, last);
    at->second = std::max(at->second, last);
    while (!unlooked.empty()) {
        const auto range = unlooked.begin();
        auto from = std::max(range->first, log.low());
        // What is not durable yet is looked at when it is settled: that comes later.
        const auto to = log.high() == sequence{} ? sequence{} : std::min(range->second, log.high() - 1);
        while (from <= to && from < log.high()) {
            sequence entry_last;
            const auto* slot = log.slot_at(from, &entry_last);
            if (!slot) {  // loaded only where it may be free: else every reader would have the log read twice
                const auto wanted = first_settled_by_all(t, log, from, to);
                if (wanted == from) break;
                from = wanted;
                continue;
            }
            const auto entry_first = slot->first;
            from = entry_last + 1;
            if (!slot->freed && is_needed_by_none(t, log, entry_first, entry_last)) {
                log.free_hole(entry_last, open_.number, mutations_);
                dirty_logs_.insert(log.id());
            }
        }
        const auto rest_last = range->second;
        unlooked.erase(range);
        if (from > to || from >= log.high()) continue;
        auto& rest = unlooked[from];  // another range may begin there, and reach further
        rest = std::max(rest_last, from);  // goes on when it is loaded
        return request_entries(log, from);
    }
    to_free_.erase(log.id());
}

/// Looks at everything that may be free by now. Beyond the end of what one of the subscriptions has settled nothing is; what that one has settled in blocks
/// that are not known now is looked at when they are loaded.
void shard::free_all_holes(topic& t, partition_log& log) {
    auto settled_end = log.high();
    for (const auto& [name, id] : t.subscriptions) {
        const auto& s = *find_subscription(id);
        if (s.inconsistent) return;  // it may need all of them
        settled_end = std::min(settled_end, s.partitions[log.id().index].settled().end());
    }
    if (!t.subscriptions.empty() && settled_end > log.low()) free_holes(t, log, log.low(), settled_end - 1);
}

/// Whether every subscription has done with first..last, as far as it is known now: what is not is loaded, and looked at again.
bool shard::is_needed_by_none(topic& t, const partition_log& log, sequence first, sequence last) {
    auto none = true;
    for (const auto& [name, id] : t.subscriptions) {
        auto& s = *find_subscription(id);
        const auto& p = s.partitions[log.id().index];
        if (s.inconsistent) {
            none = false;
        } else if (!p.settled().knows(first, last)) {
            if (p.has_settled_beyond_cursor())
                request_blocks(s, log.id().index, p.settled().first_unknown_block(std::max(first, p.cursor())));
            none = false;
        } else if (!p.is_done_with(first, last)) {
            none = false;
        }
    }
    return none;
}

/// The first message of from..last that every subscription may have settled, as far as it is known now; one past `last` when there is none. Where they have settled
/// this and that in turns it is not looked for for ever: `from` may be one, then.
sequence shard::first_settled_by_all(const topic& t, const partition_log& log, sequence from, sequence last) const {
    const auto partition = log.id().index;
    auto at = from;
    for (int turns = 0; turns < settled_turns_max; ++turns) {
        const auto before = at;
        for (const auto& [name, id] : t.subscriptions) {
            const auto& s = subscriptions_.at(id);
            if (s.inconsistent) return last + 1;
            const auto& p = s.partitions[partition];
            auto limit = last + 1;
            if (p.has_settled_beyond_cursor())
                limit = std::min(limit, sequence{std::min(p.settled().first_unknown_block(at), last.value / settled_set::block_size + 1) * settled_set::block_size});
            if (at < limit && !p.settled().contains(at)) at = p.settled().next_settled(at, limit);
        }
        if (at > last || at == before) return std::min(at, last + 1);
    }
    return from;
}

void shard::release_passed(topic& t, partition_log& log) {
    auto passed = log.high();
    for (const auto& [name, id] : t.subscriptions)
        if (const auto& s = *find_subscription(id); !s.inconsistent) passed = std::min(passed, s.partitions[log.id().index].scan());
    log.release_before(passed);
}

void shard::trim(topic& t, partition_log& log) {
    std::vector<sequence> readers{log.start(), log.kept_to()};
    for (const auto& [name, id] : t.subscriptions) readers.push_back(find_subscription(id)->partitions[log.id().index].scan());
    const auto fair = std::max<std::uint64_t>(settings_.window_messages / logs_, 8192);  // it is one of them
    log.trim(fair, readers, durable_);
}

error shard::refuse_at_limit(const topic& t, const partition_log& log, std::uint64_t more) const {
    const auto& s = t.row.settings;
    if (s.on_limit != limit_policy::refuse) return {};
    if (s.max_backlog > 0 && log.backlog_bytes() + more > s.max_backlog)
        return {errc::backlog_full, "partition " + std::to_string(log.id().index) + " of topic '" + t.row.name + "' has " +
                                        std::to_string(log.backlog_bytes()) + " unsettled bytes of at most " + std::to_string(s.max_backlog)};
    if (s.max_age.count() > 0) {
        auto unsettled = log.next();
        for (const auto& [name, id] : t.subscriptions) unsettled = std::min(unsettled, subscriptions_.at(id).partitions[log.id().index].cursor());
        const auto* oldest = log.slot_at(t.subscriptions.empty() ? log.low() : std::max(unsettled, log.low()));
        if (oldest && !oldest->freed && now_ - oldest->appended_at > s.max_age)
            return {errc::backlog_full, "the oldest unsettled message in partition " + std::to_string(log.id().index) + " of topic '" +
                                            t.row.name + "' is older than " + std::to_string(s.max_age.count()) + " ms"};
    }
    return {};
}

/// Under the expire policy: expires the oldest entries until the limits hold, as far as they can be seen now; goes on when more is loaded.
void shard::enforce_limits(topic& t, partition_log& log) {
    const auto& s = t.row.settings;
    if (s.on_limit != limit_policy::expire || (s.max_backlog == 0 && s.max_age.count() == 0) || t.subscriptions.empty()) return;
    if (refuse_quarantined(t)) return;  // it holds everything: the others would lose all they have and no limit would hold
    auto at = log.low();
    auto over = s.max_backlog > 0 && log.backlog_bytes() > s.max_backlog ? log.backlog_bytes() - s.max_backlog : 0;
    while (at < log.high()) {
        sequence last;
        const auto* oldest = log.slot_at(at, &last);
        if (!oldest) return request_entries(log, at);
        const auto too_old = s.max_age.count() > 0 && !oldest->freed && now_ - oldest->appended_at > s.max_age;
        if (over == 0 && !too_old) return;
        over -= std::min<std::uint64_t>(over, oldest->bytes);
        const auto first = std::max(at, oldest->first);
        at = last + 1;
        if (!settle_unleased(t, log, first, last, &settled_counts::expired, nullptr)) return;
    }
}

void shard::perform(const input::purge_topic& c) {
    auto found = named_topic(c.name);
    if (!found) return reply(c.from, found.failure());
    auto& t = *found.value();
    if (auto refused = refuse_quarantined(t)) return reply(c.from, std::move(refused));
    const any_input again = c;
    for (auto& log : t.logs)
        if (log.high() > log.low() && !settle_unleased(t, log, log.low(), log.high() - 1, &settled_counts::skipped, &again)) return;
    reply(c.from, answers::done{});
}

/// Settles what nobody holds in first..last for every subscription. False when blocks must be loaded first: then `retry` is performed again.
bool shard::settle_unleased(topic& t, partition_log& log, sequence first, sequence last, std::uint64_t settled_counts::*as,
                            const any_input* retry) {
    const auto partition = log.id().index;
    for (const auto& [name, id] : t.subscriptions) {
        auto& s = *find_subscription(id);
        auto& p = s.partitions[partition];
        if (p.settled().knows(first, last)) continue;
        if (retry) parked_.push_back({id, partition, *retry});
        request_blocks(s, partition, p.settled().first_unknown_block(std::max(first, p.cursor())));
        return false;
    }
    for (const auto& [name, id] : t.subscriptions) {
        auto& s = *find_subscription(id);
        if (s.partitions[partition].settle_unleased(first, last, as) > 0) progressed(s, partition, first, last);
    }
    return true;
}

}  // namespace millrace::core
