#include "broker/core/partition_log.hpp"

#include <algorithm>

#include "broker/core/invariant.hpp"

namespace millrace::core {

partition_log::partition_log(const log_row& stored)
    : id_(stored.partition),
      start_(stored.start),
      kept_to_(stored.kept_to),
      low_(stored.start),
      high_(stored.next),
      next_(stored.next),
      bytes_(stored.bytes),
      kept_bytes_(stored.kept_bytes),
      released_to_(stored.start) {}

partition_log::place partition_log::append(timestamp now, std::span<const std::uint32_t> record_ends) {
    newest_ = std::max(newest_, now);
    const auto bytes = record_ends.back();
    if (open_.empty() || open_.back()->bytes() + bytes > entry_bytes_max) {
        open_.push_back(std::make_shared<entry_index>());
        open_.back()->first = next_;
    }
    auto& entry = *open_.back();
    const place where{entry.first, next_};
    const auto base = entry.ends.empty() ? 0 : entry.ends.back();
    entry.batches.push_back({next_, static_cast<std::uint32_t>(record_ends.size()), newest_});
    for (const auto end : record_ends) entry.ends.push_back(base + end);
    next_ = next_ + record_ends.size();
    bytes_ += bytes;
    return where;
}

void partition_log::close_entries(group_number number, std::vector<mutation>& out) {
    for (auto& entry : open_) {
        out.push_back(append_entry{id_, entry->first, entry->last(), nullptr, entry});
        committing_.emplace_back(number, std::move(entry));
    }
    open_.clear();
}

bool partition_log::commit(group_number number) {
    const auto before = high_;
    while (!committing_.empty() && committing_.front().first <= number) {
        const auto& index = committing_.front().second;
        invariant(index->first == high_, "an entry became durable out of order", index->first.value, high_.value);
        high_ = index->last() + 1;
        insert(index);
        committing_.pop_front();
    }
    return high_ != before;
}

shared_index partition_log::find(sequence s) const {
    const auto* found = slot_at(s);
    return found ? found->index : nullptr;
}

const partition_log::slot* partition_log::slot_at(sequence s, sequence* last) const {
    const auto it = window_.lower_bound(s);
    if (it == window_.end() || it->second.first > s) return nullptr;
    if (last) *last = it->first;
    return &it->second;
}

bool partition_log::begin_load(sequence from) {
    return loading_.emplace(from, high_).second;
}

void partition_log::insert(const shared_index& index) {
    if (const auto* covering = slot_at(index->first); covering && covering->freed) return;  // read before its freeing was committed
    slot s{index->first, index->bytes(), index->batches.back().appended_at, index, false, {}};
    const auto [it, added] = window_.try_emplace(index->last(), s);
    if (!added) {
        if (it->second.index) return;
        weight_ -= weight(it->second);
        it->second.index = index;
    }
    weight_ += weight(it->second);
    released_to_ = std::min(released_to_, index->first);
}

void partition_log::insert_hole(sequence first, sequence last, group_number freed_in) {
    first = std::max(first, start_);
    while (first <= last) {
        auto it = window_.lower_bound(first);
        if (it != window_.end() && it->second.first <= first) {  // this part is known better
            first = it->first + 1;
            continue;
        }
        const auto to = it == window_.end() ? last : std::min(last, it->second.first - 1);
        slot hole{first, 0, {}, nullptr, true, freed_in};
        if (it != window_.begin() && std::prev(it)->second.freed && std::prev(it)->first + 1 == first) {
            --it;
            hole.first = it->second.first;
            hole.freed_in = std::max(freed_in, it->second.freed_in);
            weight_ -= weight(it->second);
            window_.erase(it);
        }
        weight_ += weight(hole);
        window_.emplace(to, std::move(hole));
        first = to + 1;
    }
}

void partition_log::finish_load(sequence from, const std::vector<shared_index>& entries) {
    const auto asked = loading_.find(from);
    if (asked == loading_.end()) return;
    const auto high = asked->second;
    loading_.erase(asked);
    auto expected = from;
    for (const auto& index : entries) {
        if (index->first >= high_) {  // durable in the store, but its answers have not left yet
            if (expected < high) insert_hole(expected, high - 1, {});
            break;
        }
        if (index->first > expected) insert_hole(expected, index->first - 1, {});
        if (index->last() >= start_) insert(index);
        expected = index->last() + 1;
    }
    if (entries.empty() && from < high) insert_hole(from, high - 1, {});
}

void partition_log::set_aside(sequence first, sequence last) {
    if (high_ == sequence{} || first >= high_ || last < start_) return;
    first = std::max(first, start_);
    last = std::min(last, high_ - 1);
    for (auto it = window_.lower_bound(first); it != window_.end() && it->second.first <= last;) {
        if (it->second.freed) {
            ++it;
            continue;
        }
        first = std::min(first, it->second.first);
        last = std::max(last, it->first);
        bytes_ -= it->second.bytes;
        if (it->second.first < kept_to_) kept_bytes_ -= it->second.bytes;
        weight_ -= weight(it->second);
        it = window_.erase(it);
    }
    insert_hole(first, last, {});
}

void partition_log::release_before(sequence s) {
    if (s <= released_to_) return;
    for (auto it = window_.lower_bound(released_to_); it != window_.end() && it->first < s; ++it) {
        weight_ -= weight(it->second);
        it->second.index.reset();
        weight_ += weight(it->second);
    }
    released_to_ = s;
}

void partition_log::trim(std::uint64_t limit, std::span<const sequence> readers, group_number durable) {
    if (weight_ <= limit || !loading_.empty()) return;
    // A reader needs the entry it stands in and a few ahead; the quarter of the limit leaves room to grow before the next pass.
    const auto ahead = limit / 4 / std::max<std::size_t>(1, readers.size());
    const auto wanted = [&](sequence first, sequence last) {
        return std::any_of(readers.begin(), readers.end(), [&](sequence r) { return last >= r && first <= r + ahead; });
    };
    for (auto it = window_.begin(); it != window_.end();) {
        if (wanted(it->second.first, it->first) || it->second.freed_in > durable) {
            ++it;
            continue;
        }
        weight_ -= weight(it->second);
        it = window_.erase(it);
    }
}

void partition_log::set_low(sequence low) {
    low_ = low;
    if (low < kept_to_) {  // a subscription began among the kept: count them again as it settles them
        kept_to_ = start_;
        kept_bytes_ = 0;
    }
}

bool partition_log::may_drop(timestamp appended_at, timestamp now, const topic_settings& keep) const {
    if (keep.keep_age.count() == 0 && keep.keep_bytes == 0) return true;
    if (keep.keep_age.count() > 0 && now - appended_at > keep.keep_age) return true;
    return keep.keep_bytes > 0 && kept_bytes_ > keep.keep_bytes;
}

std::optional<sequence> partition_log::reclaim(timestamp now, const topic_settings& keep, std::vector<mutation>& out) {
    sequence last;
    const auto settled = std::min(low_, high_);  // a subscription from latest begins beyond what is durable
    while (kept_to_ < settled) {
        const auto* front = slot_at(kept_to_, &last);
        if (!front) return kept_to_;
        if (last >= settled) break;
        kept_bytes_ += front->freed ? 0 : front->bytes;
        kept_to_ = last + 1;
    }
    while (start_ < kept_to_) {
        const auto* front = slot_at(start_, &last);
        if (!front) {
            const auto age_decides = keep.keep_age.count() > 0;
            if (!age_decides && !may_drop({}, {}, keep)) break;
            return start_;
        }
        if (!front->freed) {
            if (!may_drop(front->appended_at, now, keep)) break;
            out.push_back(free_entry{id_, last});
            bytes_ -= front->bytes;
            kept_bytes_ -= front->bytes;
        }
        start_ = last + 1;
        weight_ -= weight(*front);
        window_.erase(last);
    }
    return std::nullopt;
}

void partition_log::free_hole(sequence last, group_number number, std::vector<mutation>& out) {
    const auto it = window_.find(last);
    invariant(it != window_.end() && !it->second.freed, "freeing an entry that is not there", last.value);
    const auto first = it->second.first;
    bytes_ -= it->second.bytes;
    weight_ -= weight(it->second);
    window_.erase(it);
    out.push_back(free_entry{id_, last});
    insert_hole(first, last, number);
}

}  // namespace millrace::core
