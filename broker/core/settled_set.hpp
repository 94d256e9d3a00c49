// Which messages of one partition a subscription has settled: a cursor, and what was settled out of order beyond it.
//
//   sequence   0 ........ cursor ...1.11..1... | 1111111111 | 1111111111 | ..1....
//                settled          bitmap block   \___ run of full blocks __/
//
// In order, only the cursor moves: constant time for any number of messages. Beyond the cursor, blocks of 4 096 sequences hold a
// bitmap each; full ones join into runs, so one message that stays unsettled costs a bitmap, not the memory of all behind it.
// A bitmap or run is stored under its LAST block, so that a seek to any block lands on what covers it. Rows are loaded in windows
// when they are first needed; what has not been loaded is unknown, and callers ask first (knows()).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "millrace/message.hpp"

namespace millrace::core {

class settled_set {
public:
    static constexpr std::uint64_t block_size = 4096;
    using bitmap = std::array<std::uint64_t, block_size / 64>;

    /// One stored row: a bitmap of block `last`, or without one the full blocks first..last.
    struct block_row {
        std::uint64_t first = 0;
        std::uint64_t last = 0;
        std::optional<bitmap> bits;

        bool operator==(const block_row&) const = default;
    };

    /// A new set, all of it known: nothing at or after `start` is settled.
    static settled_set fresh(sequence start);

    /// A stored set, of which only the cursor is known.
    static settled_set stored(sequence cursor);

    sequence cursor() const { return cursor_; }

    /// Whether every block that holds first..last is known. Settling and searching REQUIRE it.
    bool knows(sequence first, sequence last) const;

    /// The first block at or after that of `from` that is not known.
    std::uint64_t first_unknown_block(sequence from) const;

    /// Rows as stored, in order, which are all those that end in blocks `from` .. `to`. The cursor moves over what is found settled at it.
    void load(std::uint64_t from, std::uint64_t to, const std::vector<block_row>& rows);

    /// Settles first..last; returns how many of them were not settled before. REQUIRES knows(first, last).
    std::uint64_t settle(sequence first, sequence last);

    bool contains(sequence s) const;

    /// Whether all of first..last is settled. REQUIRES knows(first, last).
    bool contains_all(sequence first, sequence last) const { return next_unsettled(first) > last; }

    /// The first unsettled sequence at or after `from`, as far as the blocks are known.
    sequence next_unsettled(sequence from) const;

    /// The first settled sequence after `from` (which is unsettled), at most `limit`.
    sequence next_settled(sequence from, sequence limit) const;

    /// One past the last settled sequence, as far as the blocks are known.
    sequence end() const;

    /// How many sequences at or after the cursor are settled, in known blocks.
    std::uint64_t settled_beyond_cursor() const { return beyond_; }

    /// Settled among from..before `limit`. Linear in the blocks between: for checks, not for the hot path.
    std::uint64_t count_settled(sequence from, sequence limit) const;

    bool fully_known() const;

    /// What has changed since the last call, as rows to put and blocks whose rows to erase.
    struct changes {
        std::vector<block_row> put;
        std::vector<std::uint64_t> erase;
    };
    changes take_changes();

private:
    struct partial {
        bitmap bits{};
        std::uint32_t count = 0;
        bool stored = false;  // there is a row under this block
    };
    struct run {
        std::uint64_t last = 0;
        bool stored = false;  // there is a row under `last`
    };

    static std::uint64_t block_of(sequence s) { return s.value / block_size; }

    std::uint64_t settle_in_block(std::uint64_t block, std::uint64_t from, std::uint64_t to);
    void add_full(std::uint64_t block);
    void advance_cursor();
    void forget(std::uint64_t block, bool was_stored);
    const run* run_with(std::uint64_t block) const;
    void mark_known(std::uint64_t from, std::uint64_t to);

    sequence cursor_;
    std::uint64_t beyond_ = 0;
    std::map<std::uint64_t, partial> partials_;
    std::map<std::uint64_t, run> runs_;                       // by first block
    std::map<std::uint64_t, std::uint64_t> known_;            // ranges of known blocks, first → last
    std::set<std::uint64_t> dirty_;                           // blocks whose row must be put
    std::set<std::uint64_t> gone_;                            // blocks whose stored row must be erased
};

}  // namespace millrace::core
