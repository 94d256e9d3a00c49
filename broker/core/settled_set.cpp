#include "broker/core/settled_set.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "broker/core/invariant.hpp"

namespace millrace::core {
namespace {

constexpr std::uint64_t last_block = std::numeric_limits<std::uint64_t>::max();
constexpr auto block_size = settled_set::block_size;

/// A word's mask for bit positions from..to of the block that fall into word `w`.
std::uint64_t mask_of(std::uint64_t w, std::uint64_t from, std::uint64_t to) {
    const auto low = std::max(from, w * 64) - w * 64;
    const auto high = std::min(to, w * 64 + 63) - w * 64;
    return (~std::uint64_t{0} << low) & (~std::uint64_t{0} >> (63 - high));
}

/// Position of the first bit at or after `from` that is `value`; block_size when there is none.
std::uint64_t find_bit(const settled_set::bitmap& bits, std::uint64_t from, bool value) {
    for (auto w = from / 64; w < bits.size(); ++w) {
        auto word = value ? bits[w] : ~bits[w];
        if (w == from / 64) word &= ~std::uint64_t{0} << (from % 64);
        if (word != 0) return w * 64 + static_cast<std::uint64_t>(std::countr_zero(word));
    }
    return block_size;
}

/// At or after `from`.
std::uint64_t count_bits(const settled_set::bitmap& bits, std::uint64_t from) {
    std::uint64_t count = 0;
    for (auto w = from / 64; w < bits.size(); ++w) count += static_cast<std::uint64_t>(std::popcount(bits[w] & mask_of(w, from, block_size - 1)));
    return count;
}

}  // namespace

settled_set settled_set::fresh(sequence start) {
    auto set = stored(start);
    set.known_[0] = last_block;
    return set;
}

settled_set settled_set::stored(sequence cursor) {
    settled_set set;
    set.cursor_ = cursor;
    return set;
}

bool settled_set::knows(sequence first, sequence last) const {
    return last < cursor_ || first_unknown_block(std::max(first, cursor_)) > block_of(last);
}

std::uint64_t settled_set::first_unknown_block(sequence from) const {
    const auto block = block_of(from);
    const auto after = known_.upper_bound(block);
    if (after == known_.begin()) return block;
    const auto& [first, last] = *std::prev(after);
    if (last < block) return block;
    return last == last_block ? last_block : last + 1;
}

bool settled_set::fully_known() const {
    return first_unknown_block(cursor_) == last_block;
}

void settled_set::mark_known(std::uint64_t from, std::uint64_t to) {
    auto next = known_.lower_bound(from);
    if (next != known_.begin() && (std::prev(next)->second == last_block || std::prev(next)->second + 1 >= from)) {
        --next;
        from = next->first;
    }
    while (next != known_.end() && (to == last_block || next->first <= to + 1)) {
        to = std::max(to, next->second);
        next = known_.erase(next);
    }
    known_[from] = to;
}

void settled_set::load(std::uint64_t from, std::uint64_t to, const std::vector<block_row>& rows) {
    for (const auto& row : rows) {
        if (first_unknown_block({row.last * block_size}) != row.last) continue;  // known already, and newer than the store
        if (row.bits) {
            auto& part = partials_[row.last];
            part = {*row.bits, 0, true};
            const auto begin = std::max(cursor_.value, row.last * block_size) - row.last * block_size;
            part.count = static_cast<std::uint32_t>(count_bits(part.bits, 0));
            if (begin < block_size) beyond_ += count_bits(part.bits, begin);
        } else {
            runs_[row.first] = {row.last, true};
            beyond_ += (row.last - row.first + 1) * block_size;
            mark_known(row.first, row.last);
        }
    }
    mark_known(from, to);
    if (contains(cursor_)) advance_cursor();  // it had stopped at the end of what was known
}

const settled_set::run* settled_set::run_with(std::uint64_t block) const {
    const auto after = runs_.upper_bound(block);
    if (after == runs_.begin()) return nullptr;
    const auto& candidate = std::prev(after)->second;
    return candidate.last >= block ? &candidate : nullptr;
}

std::uint64_t settled_set::settle(sequence first, sequence last) {
    first = std::max(first, cursor_);
    if (first > last) return 0;
    invariant(knows(first, last), "settling messages whose progress is not loaded", first.value, last.value);

    if (first == cursor_ && partials_.empty() && runs_.empty()) {
        cursor_ = last + 1;
        return last - first + 1;
    }
    std::uint64_t added = 0;
    for (auto block = block_of(first); block <= block_of(last); ++block) {
        const auto begin = block * block_size;
        const auto from = std::max(first.value, begin) - begin;
        const auto to = std::min(last.value, begin + block_size - 1) - begin;
        added += settle_in_block(block, from, to);
    }
    beyond_ += added;
    if (contains(cursor_)) advance_cursor();
    return added;
}

std::uint64_t settled_set::settle_in_block(std::uint64_t block, std::uint64_t from, std::uint64_t to) {
    if (run_with(block)) return 0;
    const auto existing = partials_.find(block);
    if (existing == partials_.end() && from == 0 && to == block_size - 1) {
        add_full(block);
        return block_size;
    }
    auto& part = existing == partials_.end() ? partials_[block] : existing->second;
    const auto before = part.count;
    for (auto w = from / 64; w <= to / 64; ++w) {
        const auto mask = mask_of(w, from, to);
        part.count += static_cast<std::uint32_t>(std::popcount(mask & ~part.bits[w]));
        part.bits[w] |= mask;
    }
    const auto added = part.count - before;
    if (added != 0) dirty_.insert(block);
    if (part.count == block_size) {
        const auto was_stored = part.stored;
        partials_.erase(block);
        forget(block, was_stored);
        add_full(block);
    }
    return added;
}

void settled_set::add_full(std::uint64_t block) {
    auto first = block;
    auto last = block;
    auto next = runs_.upper_bound(block);
    if (next != runs_.begin() && std::prev(next)->second.last + 1 == block) {
        const auto previous = std::prev(next);
        first = previous->first;
        forget(previous->second.last, previous->second.stored);
        runs_.erase(previous);
    }
    auto stored_under_last = false;
    if (next != runs_.end() && next->first == block + 1) {
        last = next->second.last;
        stored_under_last = next->second.stored;
        runs_.erase(next);
    }
    runs_[first] = {last, stored_under_last};
    dirty_.insert(last);
}

void settled_set::forget(std::uint64_t block, bool was_stored) {
    dirty_.erase(block);
    if (was_stored) gone_.insert(block);
}

void settled_set::advance_cursor() {
    for (;;) {
        const auto block = block_of(cursor_);
        if (const auto* covering = run_with(block)) {
            const auto last = covering->last;
            beyond_ -= (last + 1) * block_size - cursor_.value;
            cursor_ = {(last + 1) * block_size};
            forget(last, covering->stored);
            runs_.erase(std::prev(runs_.upper_bound(block)));
            continue;
        }
        const auto part = partials_.find(block);
        if (part == partials_.end()) break;
        const auto from = cursor_.value - block * block_size;
        const auto zero = find_bit(part->second.bits, from, false);
        beyond_ -= zero - from;
        cursor_ = {block * block_size + zero};
        if (zero < block_size && count_bits(part->second.bits, zero) > 0) break;
        forget(block, part->second.stored);  // nothing is settled beyond the cursor in this block
        partials_.erase(part);
        if (zero < block_size) break;
    }
}

bool settled_set::contains(sequence s) const {
    if (s < cursor_) return true;
    const auto block = block_of(s);
    if (run_with(block)) return true;
    const auto part = partials_.find(block);
    if (part == partials_.end()) return false;
    const auto bit = s.value % block_size;
    return (part->second.bits[bit / 64] >> (bit % 64)) & 1;
}

sequence settled_set::next_unsettled(sequence from) const {
    from = std::max(from, cursor_);
    for (;;) {
        const auto block = block_of(from);
        if (const auto* covering = run_with(block)) {
            from = {(covering->last + 1) * block_size};
            continue;
        }
        const auto part = partials_.find(block);
        if (part == partials_.end()) return from;
        const auto zero = find_bit(part->second.bits, from.value % block_size, false);
        from = {block * block_size + zero};
        if (zero < block_size) return from;
    }
}

sequence settled_set::next_settled(sequence from, sequence limit) const {
    const auto run_after = runs_.lower_bound(block_of(from));
    if (run_after != runs_.end()) limit = std::min(limit, sequence{run_after->first * block_size});
    for (auto part = partials_.lower_bound(block_of(from)); part != partials_.end() && part->first * block_size < limit.value; ++part) {
        const auto begin = part->first * block_size;
        const auto bit = find_bit(part->second.bits, std::max(from.value, begin) - begin, true);
        if (bit < block_size) return std::min(limit, sequence{begin + bit});
    }
    return limit;
}

sequence settled_set::end() const {
    auto end = cursor_;
    if (!runs_.empty()) end = std::max(end, sequence{(runs_.rbegin()->second.last + 1) * block_size});
    if (partials_.empty()) return end;
    const auto& [block, part] = *partials_.rbegin();
    for (auto w = part.bits.size(); w-- > 0;)
        if (part.bits[w] != 0) return std::max(end, sequence{block * block_size + w * 64 + static_cast<std::uint64_t>(std::bit_width(part.bits[w]))});
    return end;
}

std::uint64_t settled_set::count_settled(sequence from, sequence limit) const {
    std::uint64_t count = 0;
    while (from < limit) {
        const auto settled_from = contains(from) ? from : next_settled(from, limit);
        const auto settled_to = std::min(limit, next_unsettled(settled_from));
        if (settled_from >= limit) break;
        count += settled_to - settled_from;
        from = settled_to;
    }
    return count;
}

settled_set::changes settled_set::take_changes() {
    changes out;
    for (const auto block : dirty_) {
        gone_.erase(block);
        if (const auto part = partials_.find(block); part != partials_.end()) {
            part->second.stored = true;
            out.put.push_back({block, block, part->second.bits});
            continue;
        }
        const auto covering = std::prev(runs_.upper_bound(block));
        invariant(covering->second.last == block, "a changed block is neither a bitmap nor the end of a run", block, covering->second.last);
        covering->second.stored = true;
        out.put.push_back({covering->first, block, std::nullopt});
    }
    out.erase.assign(gone_.begin(), gone_.end());
    dirty_.clear();
    gone_.clear();
    return out;
}

}  // namespace millrace::core
