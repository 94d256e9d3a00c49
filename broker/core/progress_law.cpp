// The conservation law: what must be true of a progress, while it lives and when it is found in the store.
#include <algorithm>
#include <bit>

#include "broker/core/invariant.hpp"
#include "broker/core/progress.hpp"

namespace millrace::core {
namespace {

std::string text(sequence s) { return std::to_string(s.value); }

/// Settled blocks as they are stored, in order: bitmaps, and runs of full blocks.
class stored_blocks {
public:
    explicit stored_blocks(const std::vector<settled_set::block_row>& rows) : rows_(rows) {}

    bool contains(sequence s) const {
        const auto block = s.value / settled_set::block_size;
        const auto row = std::lower_bound(rows_.begin(), rows_.end(), block, [](const auto& r, std::uint64_t b) { return r.last < b; });
        if (row == rows_.end() || row->first > block) return false;
        const auto bit = s.value % settled_set::block_size;
        return !row->bits || ((*row->bits)[bit / 64] >> (bit % 64) & 1) != 0;
    }

private:
    const std::vector<settled_set::block_row>& rows_;
};

/// How many of the row's settled messages stand at or after `from`; `last` becomes the last of all.
std::uint64_t count_from(const settled_set::block_row& row, sequence from, sequence& last) {
    const auto begin = row.last * settled_set::block_size;
    if (!row.bits) {
        last = {begin + settled_set::block_size - 1};
        return (row.last - row.first + 1) * settled_set::block_size;
    }
    std::uint64_t count = 0;
    for (std::size_t w = 0; w < row.bits->size(); ++w) {
        auto word = (*row.bits)[w];
        if (word != 0) last = {begin + w * 64 + 63 - static_cast<std::uint64_t>(std::countl_zero(word))};
        const auto word_begin = begin + w * 64;
        if (from.value >= word_begin + 64) continue;
        if (from.value > word_begin) word &= ~std::uint64_t{0} << (from.value - word_begin);
        count += static_cast<std::uint64_t>(std::popcount(word));
    }
    return count;
}

}  // namespace

std::string progress::contradiction(sequence next) const {
    const auto cursor = settled_.cursor();
    if (cursor > next) return "its cursor stands at " + text(cursor) + " of " + text(next) + " messages";
    const auto passed = cursor - start_;
    const auto total = counts_.total();
    if (total < passed) return "it counts " + std::to_string(total) + " settled messages, and its cursor has passed " + std::to_string(passed);
    if (total > next - start_) return "it counts " + std::to_string(total) + " settled of " + std::to_string(next - start_) + " messages";
    if (parked_.size() != counts_.parked)
        return "it counts " + std::to_string(counts_.parked) + " parked messages, and " + std::to_string(parked_.size()) + " are stored as parked";
    for (const auto& [at, f] : failures_) {
        if (at < start_ || at >= next) return "message " + text(at) + " has failed, and there are messages " + text(start_) + " to before " + text(next);
        if (!f.parked && at < cursor) return "message " + text(at) + " is to come again, and the cursor has passed it (" + text(cursor) + ")";
    }
    for (const auto& [at, h] : hand_overs_)
        if (at < start_ || at >= next) return "message " + text(at) + " is on its way to another topic, and there are messages " + text(start_) + " to before " + text(next);
    return {};
}

std::string progress::contradiction(std::uint64_t from, std::uint64_t to, const std::vector<settled_set::block_row>& rows, sequence next) const {
    const auto cursor = settled_.cursor();
    const auto is_known = [&](std::uint64_t block) { return settled_.first_unknown_block({block * settled_set::block_size}) != block; };
    std::uint64_t found = 0;
    const settled_set::block_row* before = nullptr;
    for (const auto& row : rows) {
        if (is_known(row.last)) continue;  // known already, and newer than the store
        const auto begin = row.first * settled_set::block_size;
        if (before && row.first <= before->last)
            return "settled blocks " + std::to_string(row.first) + " to " + std::to_string(row.last) + " and " + std::to_string(before->last) + " overlap";
        if (row.first != row.last && (is_known(row.first) || begin < cursor.value))
            return "settled blocks " + std::to_string(row.first) + " to " + std::to_string(row.last) + " overlap what is known, or the cursor (" + text(cursor) + ")";
        sequence last;
        found += count_from(row, cursor, last);
        if (last >= next) return "message " + text(last) + " is settled, and " + text(next) + " is the next to come";
        before = &row;
    }
    const auto beyond = settled_.settled_beyond_cursor();
    const auto counted = counts_.total() - (cursor - start_) - beyond;
    const auto is_all = to == UINT64_MAX && settled_.first_unknown_block(cursor) >= from;  // nothing is unknown then
    if (found > counted || (is_all && found != counted))
        return "it counts " + std::to_string(counts_.total()) + " settled messages, and " + std::to_string((cursor - start_) + beyond + found) +
               (is_all ? " are" : " or more are");

    const stored_blocks stored(rows);
    const auto is_new = [&](sequence at) {
        const auto block = at.value / settled_set::block_size;
        return at >= cursor && block >= from && block <= to && !is_known(block);
    };
    for (const auto& [at, f] : failures_) {
        if (!is_new(at) || stored.contains(at) == f.parked) continue;
        return "message " + text(at) + (f.parked ? " is parked and not settled" : " is to come again, and it is settled");
    }
    for (const auto& [at, h] : hand_overs_)
        if (is_new(at) && !stored.contains(at)) return "message " + text(at) + " is dead, on its way to another topic, and not settled";
    return {};
}

std::uint64_t progress::unaccounted(sequence high) const {
    const auto published = std::max(high, start_) - start_;  // it may begin after messages that are not durable yet
    const auto accounted = counts_.total() + leased_count_ + delayed_.size() + ready(high);
    return std::max(published, accounted) - std::min(published, accounted);
}

void progress::check(sequence high) const {
    invariant(unaccounted(high) == 0, "published is not the sum of the states", high.value, unaccounted(high));
    invariant(scan_ <= std::max(high, start_) && settled_.cursor() <= scan_, "the cursor or the scan ran ahead", scan_.value, high.value);
    if (!settled_.fully_known()) return;
    const auto settled = (settled_.cursor() - start_) + settled_.settled_beyond_cursor();
    invariant(settled == counts_.total(), "the settled set does not match its counts", settled, counts_.total());
    std::uint64_t open = 0;
    std::uint64_t beyond = 0;
    const auto count = [&](sequence first, sequence last) {
        invariant(!settled_.contains(first) && settled_.next_settled(first, last + 1) == last + 1, "an outstanding message is settled", first.value);
        open += last - first + 1;
        if (last >= scan_) beyond += last - std::max(first, scan_) + 1;
    };
    for (const auto& [first, l] : leases_) count(first, l.last);
    for (const auto& [first, r] : returned_) count(first, r.last);
    for (const auto& [at, d] : delayed_) count(at, at);
    invariant(open == leased_count_ + returned_count_ + delayed_.size(), "what is outstanding does not match its counts", open, leased_count_);
    invariant(beyond == claimed_beyond_scan_, "claims beyond the scan do not match their count", beyond, claimed_beyond_scan_);
    const auto unsettled = (scan_ - settled_.cursor()) - settled_.count_settled(settled_.cursor(), scan_);
    invariant(unsettled == open - beyond, "an unsettled message before the scan is nowhere", unsettled, open);
}

}  // namespace millrace::core
