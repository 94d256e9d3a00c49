#include "broker/core/progress.hpp"

#include <algorithm>
#include <utility>

#include "broker/core/invariant.hpp"
#include "broker/core/runs.hpp"

namespace millrace::core {

progress::progress(subscription_id subscription, std::uint32_t partition, sequence start)
    : subscription_(subscription), partition_(partition), start_(start), settled_(settled_set::fresh(start)), scan_(start) {}

progress::progress(const progress_row& stored)
    : subscription_(stored.subscription),
      partition_(stored.partition),
      start_(stored.start),
      settled_(settled_set::stored(stored.cursor)),
      counts_(stored.counts),
      scan_(stored.cursor),
      settled_beyond_scan_(stored.counts.total() - (stored.cursor - stored.start)) {}

void progress::recover(const failure_row& stored) {
    failures_[stored.at] = {stored.count, stored.parked, stored.reason};
    if (stored.parked)
        parked_.insert(stored.at);
    else {
        delay(stored.at, stored.due, stored.count + 1);
        claim(stored.at, stored.at);
    }
}

void progress::recover(const hand_over_row& stored) {
    hand_overs_[stored.at] = stored;
}

std::uint64_t progress::ready(sequence high) const {
    if (high <= scan_) return returned_count_;  // also a subscription that began after messages that are not durable yet
    return (high - scan_) - settled_beyond_scan_ - claimed_beyond_scan_ + returned_count_;
}

std::optional<timestamp> progress::oldest_start() const {
    std::optional<timestamp> oldest;
    for (const auto& [first, l] : leases_) {
        if (l.started) oldest = std::min(oldest.value_or(l.started_at), l.started_at);
    }
    return oldest;
}

sequence progress::least_needed() const {
    auto least = settled_.cursor();
    if (!parked_.empty()) least = std::min(least, *parked_.begin());
    if (!hand_overs_.empty()) least = std::min(least, hand_overs_.begin()->first);
    return least;
}

bool progress::is_done_with(sequence first, sequence last) const {
    if (!settled_.contains_all(first, last)) return false;
    const auto parked = parked_.lower_bound(first);
    if (parked != parked_.end() && *parked <= last) return false;
    const auto leaving = hand_overs_.lower_bound(first);
    return leaving == hand_overs_.end() || leaving->first > last;
}

// ---- claims: what is leased, returned or delayed at or after scan, which the scan must pass over ----

void progress::claim(sequence first, sequence last) {
    if (last >= scan_) claimed_beyond_scan_ += last - std::max(first, scan_) + 1;
}

void progress::unclaim(sequence first, sequence last) {
    if (last >= scan_) claimed_beyond_scan_ -= last - std::max(first, scan_) + 1;
}

/// The last sequence of the claim that covers `s`.
std::optional<sequence> progress::claimed_at(sequence s) const {
    const auto covers = [s](const auto& runs) -> std::optional<sequence> {
        const auto it = covering_or_next(runs, s);
        if (it == runs.end() || it->first > s) return std::nullopt;
        return it->second.last;
    };
    if (const auto last = covers(leases_)) return last;
    if (const auto last = covers(returned_)) return last;
    if (delayed_.contains(s)) return s;
    return std::nullopt;
}

/// The first claimed sequence after `from`, which is not claimed; at most `limit`.
sequence progress::next_claim(sequence from, sequence limit) const {
    const auto first_of = [&](const auto& map) {
        const auto it = map.lower_bound(from);
        return it == map.end() ? limit : std::min(limit, it->first);
    };
    return std::min({first_of(leases_), first_of(returned_), first_of(delayed_)});
}

// ---- giving ----

std::optional<progress::run> progress::next_ready(sequence high) {
    missing_block_.reset();
    if (!returned_.empty()) {
        const auto& [first, r] = *returned_.begin();
        const auto unknown = settled_.first_unknown_block(first);  // what failed before a restart may lie anywhere
        if (unknown == first.value / settled_set::block_size) {
            missing_block_ = unknown;
            return std::nullopt;
        }
        const auto known = unknown > r.last.value / settled_set::block_size;
        return run{first, known ? r.last : sequence{unknown * settled_set::block_size - 1}, r.attempt};
    }
    const auto outstanding = leased_count_ + delayed_.size();
    if (outstanding >= outstanding_max) return std::nullopt;
    while (scan_ < high) {
        if (!settled_.knows(scan_, scan_)) {
            missing_block_ = settled_.first_unknown_block(scan_);
            return std::nullopt;
        }
        const auto first = settled_.next_unsettled(scan_);
        settled_beyond_scan_ -= first - scan_;
        scan_ = first;
        if (first >= high || !settled_.knows(first, first)) continue;
        auto limit = std::min(high, first + (outstanding_max - outstanding));
        if (claimed_beyond_scan_ > 0) {
            if (const auto claimed = claimed_at(first)) {
                claimed_beyond_scan_ -= *claimed - first + 1;
                scan_ = *claimed + 1;
                continue;
            }
            limit = next_claim(first, limit);
        }
        const auto unknown = settled_.first_unknown_block(first);
        if (unknown <= high.value / settled_set::block_size) limit = std::min(limit, sequence{unknown * settled_set::block_size});
        return run{first, settled_.next_settled(first, limit) - 1, 1};
    }
    return std::nullopt;
}

void progress::grant(const run& ready, std::uint64_t count, holder_id holder) {
    const auto last = ready.first + (count - 1);
    invariant(count > 0 && last <= ready.last, "granting more than is ready", ready.first.value, count);
    const auto again = returned_.find(ready.first);
    if (again != returned_.end()) {
        cut(returned_, again, ready.first, last);
        returned_count_ -= count;
    } else {
        invariant(ready.first == scan_, "granting out of order", ready.first.value, scan_.value);
        scan_ = last + 1;
    }
    add_lease(ready.first, {last, holder, ready.attempt, ready.attempt + 1, false, {}, {}});
    leased_count_ += count;
}

void progress::add_lease(sequence first, const lease& l) {
    const auto after = leases_.lower_bound(first);
    if (after != leases_.begin() && !l.started) {
        auto& before = std::prev(after)->second;
        if (before.last + 1 == first && before.holder == l.holder && before.attempt == l.attempt && !before.started) {
            before.last = l.last;
            return;
        }
    }
    leases_.emplace_hint(after, first, l);
}

std::uint64_t progress::adopt(const lease_range& range, holder_id holder, timestamp now, duration timeout,
                              const std::function<bool(holder_id)>& is_gone, std::vector<lease_range>& lost) {
    const lease adopted{{}, holder, range.attempt, range.attempt + 1, true, now, now + timeout};
    std::uint64_t count = 0;
    const auto keep = [&](sequence first, sequence last, std::uint32_t next_attempt) {
        auto l = adopted;
        l.last = last;
        l.next_attempt = std::max(l.next_attempt, next_attempt);
        add_lease(first, l);
        leased_count_ += last - first + 1;
        count += last - first + 1;
    };
    // Leases first: those of sessions that are gone change hands, others are lost.
    auto next = range.first;
    std::vector<std::pair<sequence, sequence>> gaps;
    for (auto it = covering_or_next(leases_, range.first); it != leases_.end() && it->first <= range.last;) {
        const auto from = std::max(range.first, it->first);
        const auto to = std::min(range.last, it->second.last);
        if (from > next) gaps.emplace_back(next, from - 1);
        next = to + 1;
        if (!is_gone(it->second.holder) || it->second.attempt != range.attempt) {
            lost.push_back({partition_, from, to, range.attempt});
            ++it;
            continue;
        }
        const auto next_attempt = it->second.next_attempt;
        it = cut(leases_, it, from, to);
        leased_count_ -= to - from + 1;
        keep(from, to, next_attempt);
    }
    if (next <= range.last) gaps.emplace_back(next, range.last);
    // Then what nobody has: returned or delayed, or not given yet in this broker's life.
    for (const auto& [first, last] : gaps) {
        take_unleased(first, last, keep);
        for (auto at = first; at <= last;) {
            const auto open = settled_.next_unsettled(at);
            if (open > at) lost.push_back({partition_, at, std::min(last, open - 1), range.attempt});
            if (open > last) break;
            const auto claimed = claimed_at(open);
            if (claimed) {
                at = *claimed + 1;
                continue;
            }
            invariant(open >= scan_, "an unsettled message before the scan is nowhere", open.value, scan_.value);
            const auto end = std::min({last, settled_.next_settled(open, last + 1) - 1, next_claim(open, last + 1) - 1});
            claim(open, end);
            keep(open, end, adopted.next_attempt);
            at = end + 1;
        }
    }
    earliest_deadline_ = std::min(earliest_deadline_, adopted.deadline);
    return count;
}

// ---- while it is held ----

void progress::start(const lease_range& range, holder_id holder, timestamp now, duration timeout) {
    for (auto it = covering_or_next(leases_, range.first); it != leases_.end() && it->first <= range.last;) {
        if (it->second.holder != holder || it->second.attempt != range.attempt || it->second.started) {
            ++it;
            continue;
        }
        auto l = it->second;
        const auto from = std::max(range.first, it->first);
        l.last = std::min(range.last, l.last);
        l.started = true;
        l.started_at = now;
        l.deadline = now + timeout;
        it = cut(leases_, it, from, l.last);
        leases_.emplace_hint(it, from, l);
        earliest_deadline_ = std::min(earliest_deadline_, l.deadline);
    }
}

void progress::extend(const lease_range& range, holder_id holder, timestamp now, duration timeout, duration longest, std::vector<lease_range>& lost,
                      std::vector<lease_range>& limited) {
    auto next = range.first;
    for (auto it = covering_or_next(leases_, range.first); it != leases_.end() && it->first <= range.last;) {
        auto l = it->second;
        if (l.holder != holder || l.attempt != range.attempt || !l.started) {
            ++it;
            continue;
        }
        const auto from = std::max(range.first, it->first);
        l.last = std::min(range.last, l.last);
        if (from > next) lost.push_back({partition_, next, from - 1, range.attempt});
        next = l.last + 1;
        if (now - l.started_at > longest) {
            limited.push_back({partition_, from, l.last, range.attempt});
            ++it;
            continue;
        }
        l.deadline = std::max(l.deadline, now + timeout);
        it = cut(leases_, it, from, l.last);  // its neighbours, started with it, may be in other hands of their holder
        leases_.emplace_hint(it, from, l);
    }
    if (next <= range.last) lost.push_back({partition_, next, range.last, range.attempt});
}

// ---- handing in ----

/// Takes returned and delayed messages of first..last out of their places and hands each piece to `taken(first, last, next_attempt)`. Those in blocks that
/// are not known stay: they cannot be settled yet.
template <class Taken>
void progress::take_unleased(sequence first, sequence last, Taken taken) {
    for (auto it = covering_or_next(returned_, first); it != returned_.end() && it->first <= last;) {
        const auto from = std::max(first, it->first);
        const auto to = std::min(last, it->second.last);
        const auto attempt = it->second.attempt;
        if (!settled_.knows(from, to)) {
            ++it;
            continue;
        }
        it = cut(returned_, it, from, to);
        returned_count_ -= to - from + 1;
        taken(from, to, attempt);
    }
    for (auto it = delayed_.lower_bound(first); it != delayed_.end() && it->first <= last;) {
        const auto [at, d] = *it;
        if (!settled_.knows(at, at)) {
            ++it;
            continue;
        }
        by_due_.erase({d.due, at});
        it = delayed_.erase(it);
        taken(at, at, d.attempt);
    }
}

/// Appends what of first..last, where nobody has a lease, nobody was given since the broker started; with `late`, returned and delayed messages were.
void progress::name_never_given(sequence first, sequence last, std::uint32_t attempt, bool late, std::vector<lease_range>& lost) const {
    for (auto at = std::max(first, scan_); at <= last;) {
        if (!settled_.knows(at, at)) {
            lost.push_back({partition_, at, last, attempt});
            return;
        }
        const auto open = settled_.next_unsettled(at);
        if (open != at) {
            at = open;
            continue;
        }
        const auto claimed = late ? claimed_at(at) : std::nullopt;
        if (claimed) {
            at = *claimed + 1;
            continue;
        }
        auto end = settled_.next_settled(at, last + 1) - 1;
        if (late) end = std::min(end, next_claim(at, last + 1) - 1);
        lost.push_back({partition_, at, end, attempt});
        at = end + 1;
    }
}

/// Takes the leases of `holder` in `range` and hands each to `taken`; with `late`, also what nobody has been given since.
template <class Taken>
void progress::take(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost, bool late, Taken taken) {
    auto next = range.first;
    const auto gap = [&](sequence first, sequence last) {
        name_never_given(first, last, range.attempt, late, lost);
        if (late) take_unleased(first, last, taken);
    };
    for (auto it = covering_or_next(leases_, range.first); it != leases_.end() && it->first <= range.last;) {
        const auto from = std::max(range.first, it->first);
        const auto to = std::min(range.last, it->second.last);
        if (from > next) gap(next, from - 1);
        next = to + 1;
        if (it->second.holder != holder || it->second.attempt != range.attempt) {
            lost.push_back({partition_, from, to, range.attempt});
            ++it;
            continue;
        }
        const auto next_attempt = it->second.next_attempt;
        it = cut(leases_, it, from, to);
        leased_count_ -= to - from + 1;
        in.released += to - from + 1;
        taken(from, to, next_attempt);
    }
    if (next <= range.last) gap(next, range.last);
}

void progress::ack(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost) {
    take(range, holder, in, lost, true, [&](sequence first, sequence last, std::uint32_t) {
        unclaim(first, last);
        settle(first, last, &settled_counts::acked);
        in.is_stored = true;
    });
}

void progress::release(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost) {
    take(range, holder, in, lost, false,
         [&](sequence first, sequence last, std::uint32_t next_attempt) { add_returned(first, last, next_attempt); });
}

void progress::nack(const lease_range& range, holder_id holder, timestamp now, const subscription_settings& policy, handed_in& in,
                    std::vector<lease_range>& lost) {
    take(range, holder, in, lost, false,
         [&](sequence first, sequence last, std::uint32_t next_attempt) { fail(first, last, next_attempt, now, policy, true, in); });
}

void progress::reject(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost) {
    take(range, holder, in, lost, true, [&](sequence first, sequence last, std::uint32_t) {
        in.is_stored = true;
        for (auto s = first; s <= last; ++s) {
            ++failures_[s].count;
            in.exhausted.push_back(s);
        }
    });
}

/// The messages have failed and are nobody's: each comes again, at once or after its backoff, or is exhausted.
void progress::fail(sequence first, sequence last, std::uint32_t next_attempt, timestamp now, const subscription_settings& policy, bool back_off,
                    handed_in& in) {
    in.is_stored = true;
    for (auto s = first; s <= last; ++s) {
        const auto failed = ++failures_[s].count;
        changed_failures_.insert(s);
        if (policy.max_deliveries > 0 && failed >= policy.max_deliveries)
            in.exhausted.push_back(s);
        else if (back_off)
            delay(s, now + policy.backoff_after(failed), next_attempt);
        else
            add_returned(s, s, next_attempt);
    }
}

void progress::delay(sequence s, timestamp due, std::uint32_t attempt) {
    delayed_[s] = {due, attempt};
    by_due_.emplace(due, s);
}

void progress::add_returned(sequence first, sequence last, std::uint32_t attempt) {
    returned_count_ += last - first + 1;
    const auto after = returned_.lower_bound(first);
    if (after != returned_.begin()) {
        auto& before = std::prev(after)->second;
        if (before.last + 1 == first && before.attempt == attempt) {
            before.last = last;
            return;
        }
    }
    returned_.emplace_hint(after, first, returned{last, attempt});
}

std::uint64_t progress::orphan(holder_id holder, timestamp grace) {
    std::uint64_t count = 0;
    for (auto it = leases_.begin(); it != leases_.end();) {
        auto& [first, l] = *it;
        if (l.holder != holder) {
            ++it;
            continue;
        }
        count += l.last - first + 1;
        if (l.started) {
            l.deadline = std::min(l.deadline, grace);
            earliest_deadline_ = std::min(earliest_deadline_, l.deadline);
            ++it;
            continue;
        }
        leased_count_ -= l.last - first + 1;
        add_returned(first, l.last, l.next_attempt);
        it = leases_.erase(it);
    }
    return count;
}

std::uint64_t progress::give_back(holder_id holder) {
    std::uint64_t count = 0;
    for (auto it = leases_.begin(); it != leases_.end();) {
        const auto& [first, l] = *it;
        if (l.holder != holder) {
            ++it;
            continue;
        }
        count += l.last - first + 1;
        add_returned(first, l.last, l.next_attempt);
        it = leases_.erase(it);
    }
    leased_count_ -= count;
    return count;
}

// ---- time ----

std::optional<timestamp> progress::next_due() const {
    auto due = earliest_deadline_;
    if (!by_due_.empty()) due = std::min(due, by_due_.begin()->first);
    return due == timestamp::max() ? std::nullopt : std::optional(due);
}

void progress::bound_delays(timestamp now, const subscription_settings& policy) {
    for (auto& [at, d] : delayed_) {
        const auto latest = now + policy.backoff_after(failures_.at(at).count);
        if (d.due <= latest) continue;
        by_due_.erase({d.due, at});
        d.due = latest;
        by_due_.emplace(d.due, at);
    }
}

void progress::expire(timestamp now, const subscription_settings& policy, handed_in& in) {
    while (!by_due_.empty() && by_due_.begin()->first <= now) {
        const auto s = by_due_.begin()->second;
        const auto attempt = delayed_.at(s).attempt;
        by_due_.erase(by_due_.begin());
        delayed_.erase(s);
        add_returned(s, s, attempt);
    }
    if (earliest_deadline_ > now) return;
    earliest_deadline_ = timestamp::max();
    for (auto it = leases_.begin(); it != leases_.end();) {
        const auto [first, l] = *it;
        if (!l.started || l.deadline > now) {
            if (l.started) earliest_deadline_ = std::min(earliest_deadline_, l.deadline);
            ++it;
            continue;
        }
        it = leases_.erase(it);
        leased_count_ -= l.last - first + 1;
        in.expired.emplace_back(l.holder, l.last - first + 1);
        fail(first, l.last, l.next_attempt, now, policy, false, in);
    }
}

// ---- settling ----

void progress::settle(sequence first, sequence last, std::uint64_t settled_counts::*as) {
    if (first > last) return;
    if (first < scan_ && last >= scan_) {
        settle(first, scan_ - 1, as);
        first = scan_;
    }
    const auto added = settled_.settle(first, last);
    counts_.*as += added;
    if (first >= scan_) settled_beyond_scan_ += added;
    scan_from_cursor();
    forget_failures(first, last);
}

/// The cursor may pass the scan: messages that were never given are settled by a purge or a limit, or found settled in the store.
void progress::scan_from_cursor() {
    if (settled_.cursor() <= scan_) return;
    settled_beyond_scan_ -= settled_.cursor() - scan_;
    scan_ = settled_.cursor();
}

bool progress::load(std::uint64_t from, std::uint64_t to, const std::vector<settled_set::block_row>& rows) {
    const auto before = settled_.cursor();
    settled_.load(from, to, rows);
    scan_from_cursor();
    return settled_.cursor() != before;
}

void progress::forget_failures(sequence first, sequence last) {
    for (auto it = failures_.lower_bound(first); it != failures_.end() && it->first <= last;) {
        if (it->second.parked) {
            ++it;
            continue;
        }
        changed_failures_.insert(it->first);
        it = failures_.erase(it);
    }
}

std::uint64_t progress::settle_unleased(sequence first, sequence last, std::uint64_t settled_counts::*as) {
    const auto before = counts_.*as;
    first = std::max(first, settled_.cursor());
    const auto settle_gap = [&](sequence from, sequence to) {
        take_unleased(from, to, [&](sequence a, sequence b, std::uint32_t) { unclaim(a, b); });
        settle(from, to, as);
    };
    auto it = covering_or_next(leases_, first);
    while (first <= last && it != leases_.end() && it->first <= last) {
        if (it->first > first) settle_gap(first, it->first - 1);
        first = it->second.last + 1;
        ++it;
    }
    if (first <= last) settle_gap(first, last);
    return counts_.*as - before;
}

void progress::bury(sequence s, const std::string& reason) {
    const auto failed = failures_of(s);
    unclaim(s, s);
    settle(s, s, &settled_counts::dead);
    hand_overs_[s] = {subscription_, partition_, s, failed, reason};
    changed_hand_overs_.insert(s);
}

void progress::park(sequence s, const std::string& reason) {
    auto& f = failures_[s];
    f.parked = true;
    f.reason = reason;
    changed_failures_.insert(s);
    parked_.insert(s);
    unclaim(s, s);
    settle(s, s, &settled_counts::parked);
}

std::vector<sequence> progress::park_hand_overs(const std::function<bool(sequence)>& which) {
    std::vector<sequence> parked;
    for (const auto& [at, h] : hand_overs_) {
        if (!which(at)) continue;
        failures_[at] = {h.failures, true, h.reason};
        parked_.insert(at);
        changed_failures_.insert(at);
        changed_hand_overs_.insert(at);
        parked.push_back(at);
    }
    for (const auto at : parked) hand_overs_.erase(at);
    counts_.dead -= parked.size();
    counts_.parked += parked.size();
    return parked;
}

std::string progress::handed_over(sequence s) {
    const auto it = hand_overs_.find(s);
    if (it == hand_overs_.end()) return {};
    auto key = encode(it->second).key;
    hand_overs_.erase(it);
    changed_hand_overs_.insert(s);
    return key;
}

std::uint32_t progress::failures_of(sequence s) const {
    const auto it = failures_.find(s);
    return it == failures_.end() ? 0 : it->second.count;
}

progress::row_changes progress::take_row_changes() {
    row_changes out;
    for (const auto s : changed_failures_) {
        failure_row stored{subscription_, partition_, s, 0, {}, false, {}};
        const auto it = failures_.find(s);
        if (it == failures_.end()) {
            out.erase.push_back(encode(stored).key);
            continue;
        }
        const auto waiting = delayed_.find(s);
        stored.count = it->second.count;
        stored.parked = it->second.parked;
        stored.reason = it->second.reason;
        if (waiting != delayed_.end()) stored.due = waiting->second.due;
        out.put.push_back(encode(stored));
    }
    for (const auto s : changed_hand_overs_) {
        const auto it = hand_overs_.find(s);
        if (it == hand_overs_.end())
            out.erase.push_back(encode(hand_over_row{subscription_, partition_, s, 0, {}}).key);
        else
            out.put.push_back(encode(it->second));
    }
    changed_failures_.clear();
    changed_hand_overs_.clear();
    return out;
}

}  // namespace millrace::core
