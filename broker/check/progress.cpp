// One subscription in one partition: its settled messages are counted again from the cursor and the blocks, and everything else must agree with them.
#include <algorithm>
#include <bit>

#include "broker/check/examination.hpp"
#include "broker/core/progress.hpp"

namespace millrace::check {
namespace {

using core::settled_set;

constexpr auto block_size = settled_set::block_size;

const std::vector<core::row> no_rows;

const std::vector<core::row>& rows_in(const std::map<std::uint32_t, std::vector<core::row>>& table, std::uint32_t partition) {
    const auto it = table.find(partition);
    return it == table.end() ? no_rows : it->second;
}

/// What is settled beyond a cursor, as far as it can be believed.
class believed_blocks {
public:
    void add(const settled_set::block_row& row) { rows_.push_back(row); }
    const std::vector<settled_set::block_row>& rows() const { return rows_; }

    bool contains(sequence s) const {
        const auto block = s.value / block_size;
        const auto row = std::lower_bound(rows_.begin(), rows_.end(), block, [](const auto& r, std::uint64_t b) { return r.last < b; });
        return row != rows_.end() && row->first <= block && (!row->bits || is_set(*row, s.value));
    }

    /// Settled messages at or after `cursor`.
    std::uint64_t count(sequence cursor) const {
        return count(cursor, [](sequence first, sequence end) { return end - first; });
    }

    /// Of them, those that the store has.
    std::uint64_t count(sequence cursor, const message_runs& messages) const {
        return count(cursor, [&](sequence first, sequence end) { return messages.count(first, end); });
    }

private:
    static bool is_set(const settled_set::block_row& row, std::uint64_t s) { return ((*row.bits)[s % block_size / 64] >> (s % 64) & 1) != 0; }

    template <class Weigh>
    std::uint64_t count(sequence cursor, Weigh weigh) const {
        std::uint64_t sum = 0;
        for (const auto& row : rows_) {
            const auto begin = std::max(cursor.value, row.first * block_size);
            const auto end = (row.last + 1) * block_size;
            if (!row.bits && begin < end) sum += weigh(sequence{begin}, sequence{end});
            for (auto s = begin; row.bits && s < end; ++s)
                if (is_set(row, s)) sum += weigh(sequence{s}, sequence{s + 1});
        }
        return sum;
    }

    std::vector<settled_set::block_row> rows_;
};

/// The last message that the row settles; nothing when it settles none.
std::optional<sequence> last_of(const settled_set::block_row& row) {
    if (!row.bits) return sequence{(row.last + 1) * block_size - 1};
    for (auto w = row.bits->size(); w-- > 0;)
        if (const auto word = (*row.bits)[w]; word != 0) return sequence{row.last * block_size + w * 64 + 63 - static_cast<std::uint64_t>(std::countl_zero(word))};
    return std::nullopt;
}

/// Counts that add up to `total`: what is too much is taken from acked first; what is missing is settled, and nobody knows how.
core::settled_counts corrected(core::settled_counts counts, std::uint64_t parked, std::uint64_t total) {
    counts.parked = parked;
    for (auto* part : {&counts.acked, &counts.skipped, &counts.expired, &counts.dead, &counts.parked}) {
        const auto over = counts.total() > total ? counts.total() - total : 0;
        *part -= std::min(*part, over);
    }
    counts.skipped += total - counts.total();
    return counts;
}

std::string text(const core::settled_counts& c) {
    return "acked " + std::to_string(c.acked) + ", dead " + std::to_string(c.dead) + ", parked " + std::to_string(c.parked) + ", expired " + std::to_string(c.expired) +
           ", skipped " + std::to_string(c.skipped);
}

}  // namespace

void examination::examine_progress(subscription_state& s, const topic_state& t, std::uint32_t index) {
    const auto& partition = t.partitions.at(index);
    const auto& log = partition.log;
    place where{t.row.name, index, s.row.name};
    const auto at = [&](sequence m) {
        auto there = where;
        there.first = there.last = m;
        return there;
    };
    const auto before = report_.findings.size();

    // Where it stands.
    core::progress_row stored{s.row.id, index, log.start, log.start, {}};
    const auto& own = rows_in(s.progress, index);
    error bad = own.empty() ? error{errc::corruption, "it has no progress here"} : decode(own.front(), stored);
    auto mended = bad ? core::progress_row{s.row.id, index, log.start, log.start, {}} : stored;
    if (bad) find(where, bad.what, "it begins at the first retained message (" + std::to_string(log.start.value) + "): what was acked from there on comes again");
    if (mended.cursor > log.next) {
        find(where, "its cursor stands at " + std::to_string(mended.cursor.value) + " of " + std::to_string(log.next.value) + " messages", "the cursor goes back to the end");
        mended.cursor = log.next;
        mended.start = std::min(mended.start, log.next);
    }

    // What is settled beyond its cursor.
    believed_blocks blocks;
    std::uint64_t free_from = 0;  // the first block that no row before covers
    for (const auto& r : rows_in(s.blocks, index)) {
        settled_set::block_row row;
        auto wrong = decode(r, row).what;
        if (wrong.empty() && row.first < free_from) wrong = "settled blocks " + std::to_string(row.first) + " to " + std::to_string(row.last) + " overlap others";
        if (wrong.empty() && row.first != row.last && row.first * block_size < mended.cursor.value)
            wrong = "the cursor (" + std::to_string(mended.cursor.value) + ") stands within settled blocks " + std::to_string(row.first) + " to " + std::to_string(row.last);
        const auto last = wrong.empty() ? last_of(row) : std::nullopt;
        if (last && *last >= log.next) wrong = "message " + std::to_string(last->value) + " is settled, and " + std::to_string(log.next.value) + " is the next to come";
        if (!wrong.empty()) {
            erase(r, where, wrong, "the row is dropped: what it settled comes again");
            continue;
        }
        free_from = row.last + 1;
        blocks.add(row);
    }
    const auto is_settled = [&](sequence m) { return m < mended.cursor || blocks.contains(m); };
    const auto is_there = [&](sequence m) { return m >= mended.start && m < log.next; };

    // Messages that have failed, are parked, or are on their way to another topic.
    std::uint64_t parked = 0;
    for (const auto& r : rows_in(s.failures, index)) {
        core::failure_row f;
        if (const auto broken = decode(r, f)) {
            erase(r, where, broken.what, "the row is dropped: how often a message had failed is forgotten");
        } else if (!is_there(f.at)) {
            erase(r, at(f.at), "it has failed, and there is no such message", "the row is dropped");
        } else if (f.parked && !is_settled(f.at)) {
            erase(r, at(f.at), "it is parked, and not settled", "it comes again");
        } else if (f.parked && !partition.messages.contains(f.at)) {
            erase(r, at(f.at), "it is parked, and the store does not have it any more", "it is counted as skipped");
        } else if (!f.parked && is_settled(f.at)) {
            erase(r, at(f.at), "it is to come again, and it is settled", "it stays settled");
        } else {
            parked += f.parked ? 1 : 0;
        }
    }
    for (const auto& r : rows_in(s.hand_overs, index)) {
        core::hand_over_row h;
        if (const auto broken = decode(r, h))
            erase(r, where, broken.what, "the row is dropped: the dead message does not reach its dead-letter topic");
        else if (!is_there(h.at) || !is_settled(h.at))
            erase(r, at(h.at), "it is on its way to another topic, and it is not settled", "it comes again");
        else if (!partition.messages.contains(h.at))
            erase(r, at(h.at), "it is on its way to another topic, and the store does not have it any more", "it stays dead");
    }

    // The law.
    const auto total = (mended.cursor - mended.start) + blocks.count(mended.cursor);
    if (mended.counts.total() != total || mended.counts.parked != parked) {
        const auto counted = mended.counts;
        mended.counts = corrected(counted, parked, total);
        if (!bad)
            find(where, "it counts " + text(counted) + ", and " + std::to_string(total) + " messages are settled, " + std::to_string(parked) + " of them parked",
                 "it counts " + text(mended.counts));
    }
    if (bad || mended != stored) put(encode(mended));

    // The broker's own judgement: what it would set aside must not pass here.
    if (report_.findings.size() == before) {
        core::progress p(stored);
        const auto recover = [&](const std::vector<core::row>& rows, auto row) {
            for (const auto& r : rows)
                if (!decode(r, row)) p.recover(row);
        };
        recover(rows_in(s.failures, index), core::failure_row{});
        recover(rows_in(s.hand_overs, index), core::hand_over_row{});
        auto wrong = p.contradiction(log.next);
        if (wrong.empty()) wrong = p.contradiction(0, UINT64_MAX, blocks.rows(), log.next);
        if (!wrong.empty()) find(where, wrong, {});
    }

    // No contradiction: a subscription may begin where others had settled everything. But then it is good to know.
    const auto first = std::max(mended.cursor, log.start);
    const auto unsettled = (log.next - mended.cursor) - blocks.count(mended.cursor);
    const auto here = partition.messages.count(first, log.next) - blocks.count(first, partition.messages);
    const auto missing = unsettled - std::min(unsettled, here);
    if (missing > 0)
        report_.notes.push_back(to_string(where) + ": " + std::to_string(missing) + " unsettled messages are not in the store any more, and will count as skipped");
}

}  // namespace millrace::check
