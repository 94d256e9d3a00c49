#include "broker/core/progress.hpp"

#include <algorithm>

#include "broker/core/invariant.hpp"

namespace millrace::core {
namespace {

/// The entry of a map of disjoint runs that covers `s`, else the next one after it.
template <class Map>
auto covering_or_next(Map& runs, sequence s) {
    auto it = runs.upper_bound(s);
    if (it != runs.begin() && std::prev(it)->second.last >= s) --it;
    return it;
}

/// Cuts first..last, which must lie inside the run at `it`, out of it; returns the run after what was cut.
template <class Map>
auto cut(Map& runs, typename Map::iterator it, sequence first, sequence last) {
    const auto tail = it->second.last;
    if (it->first == first && tail == last) return runs.erase(it);
    if (it->first == first) {  // keep the node: acks in order shorten one run again and again
        auto node = runs.extract(it);
        node.key() = last + 1;
        return runs.insert(std::move(node)).position;
    }
    it->second.last = first - 1;
    if (tail == last) return std::next(it);
    auto rest = it->second;
    rest.last = tail;
    return runs.emplace_hint(std::next(it), last + 1, rest);
}

}  // namespace

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

std::uint64_t progress::ready(sequence high) const {
    if (high <= scan_) return returned_count_;  // also a subscription that began after messages that are not durable yet
    return (high - scan_) - settled_beyond_scan_ + returned_count_;
}

std::optional<progress::run> progress::next_ready(sequence high) {
    missing_block_.reset();
    if (!returned_.empty()) {
        const auto& [first, r] = *returned_.begin();
        return run{first, r.last, r.attempt};
    }
    while (scan_ < high) {
        if (!settled_.knows(scan_, scan_)) {
            missing_block_ = settled_.first_unknown_block(scan_);
            return std::nullopt;
        }
        const auto first = settled_.next_unsettled(scan_);
        settled_beyond_scan_ -= first - scan_;
        scan_ = first;
        if (first >= high || !settled_.knows(first, first)) continue;
        const auto unknown = settled_.first_unknown_block(first);
        const auto limit = unknown > high.value / settled_set::block_size ? high : sequence{unknown * settled_set::block_size};
        return run{first, settled_.next_settled(first, std::min(limit, high)) - 1, 1};
    }
    return std::nullopt;
}

void progress::grant(const run& ready, std::uint64_t count, holder_id holder) {
    const run granted{ready.first, ready.first + (count - 1), ready.attempt};
    invariant(count > 0 && granted.last <= ready.last, "granting more than is ready", ready.first.value, count);
    const auto again = returned_.find(ready.first);
    if (again != returned_.end()) {
        cut(returned_, again, granted.first, granted.last);
        returned_count_ -= count;
    } else {
        invariant(ready.first == scan_, "granting out of order", ready.first.value, scan_.value);
        scan_ = granted.last + 1;
    }
    add_lease(granted, holder);
    leased_count_ += count;
}

void progress::add_lease(const run& r, holder_id holder) {
    const auto after = leases_.lower_bound(r.first);
    if (after != leases_.begin()) {
        auto& before = std::prev(after)->second;
        if (before.last + 1 == r.first && before.holder == holder && before.attempt == r.attempt) {
            before.last = r.last;
            return;
        }
    }
    leases_.emplace_hint(after, r.first, lease{r.last, holder, r.attempt});
}

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

std::uint64_t progress::settle_returned(sequence first, sequence last, std::uint64_t settled_counts::*as) {
    std::uint64_t count = 0;
    auto it = covering_or_next(returned_, first);
    while (it != returned_.end() && it->first <= last) {
        const auto from = std::max(first, it->first);
        const auto to = std::min(last, it->second.last);
        it = cut(returned_, it, from, to);
        returned_count_ -= to - from + 1;
        count += to - from + 1;
        settle(from, to, as);
    }
    return count;
}

std::uint64_t progress::ack(const lease_range& range, holder_id holder, std::vector<lease_range>& lost, std::uint64_t& released) {
    std::uint64_t settled = 0;
    auto next = range.first;
    auto it = covering_or_next(leases_, range.first);
    while (it != leases_.end() && it->first <= range.last) {
        const auto from = std::max(range.first, it->first);
        const auto to = std::min(range.last, it->second.last);
        if (from > next) settled += settle_returned(next, from - 1, &settled_counts::acked);
        next = to + 1;
        if (it->second.holder != holder || it->second.attempt != range.attempt) {
            lost.push_back({partition_, from, to, range.attempt});
            ++it;
            continue;
        }
        it = cut(leases_, it, from, to);
        leased_count_ -= to - from + 1;
        released += to - from + 1;
        settled += to - from + 1;
        settle(from, to, &settled_counts::acked);
    }
    if (next <= range.last) settled += settle_returned(next, range.last, &settled_counts::acked);
    if (range.last >= scan_) lost.push_back({partition_, std::max(range.first, scan_), range.last, range.attempt});
    return settled;
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

std::uint64_t progress::give_back(holder_id holder) {
    std::uint64_t count = 0;
    for (auto it = leases_.begin(); it != leases_.end();) {
        if (it->second.holder != holder) {
            ++it;
            continue;
        }
        count += it->second.last - it->first + 1;
        add_returned(it->first, it->second.last, it->second.attempt + 1);
        it = leases_.erase(it);
    }
    leased_count_ -= count;
    return count;
}

std::uint64_t progress::settle_unleased(sequence first, sequence last, std::uint64_t settled_counts::*as) {
    const auto before = counts_.*as;
    first = std::max(first, settled_.cursor());
    auto it = covering_or_next(leases_, first);
    const auto settle_gap = [&](sequence from, sequence to) {
        settle_returned(from, to, as);
        settle(from, to, as);
    };
    while (first <= last && it != leases_.end() && it->first <= last) {
        if (it->first > first) settle_gap(first, it->first - 1);
        first = it->second.last + 1;
        ++it;
    }
    if (first <= last) settle_gap(first, last);
    return counts_.*as - before;
}

void progress::check(sequence high) const {
    if (high < start_) return;
    const auto published = high - start_;
    const auto accounted = counts_.total() + leased_count_ + ready(high);
    invariant(published == accounted, "published is not the sum of the states", published, accounted);
    invariant(scan_ <= high && settled_.cursor() <= scan_, "the cursor or the scan ran ahead", scan_.value, high.value);
    if (!settled_.fully_known()) return;
    const auto settled = (settled_.cursor() - start_) + settled_.settled_beyond_cursor();
    invariant(settled == counts_.total(), "the settled set does not match its counts", settled, counts_.total());
    std::uint64_t open = 0;
    for (const auto& [first, l] : leases_) {
        invariant(!settled_.contains(first) && settled_.next_settled(first, l.last + 1) == l.last + 1, "a leased message is settled", first.value);
        invariant(l.last < scan_, "a lease beyond the scan", l.last.value, scan_.value);
        open += l.last - first + 1;
    }
    for (const auto& [first, r] : returned_) {
        invariant(!settled_.contains(first) && settled_.next_settled(first, r.last + 1) == r.last + 1, "a returned message is settled", first.value);
        open += r.last - first + 1;
    }
    invariant(open == leased_count_ + returned_count_, "leases and returned messages do not match their counts", open, leased_count_);
    const auto unsettled = (scan_ - settled_.cursor()) - settled_.count_settled(settled_.cursor(), scan_);
    invariant(unsettled == open, "an unsettled message before the scan is nowhere", unsettled, open);
}

}  // namespace millrace::core
