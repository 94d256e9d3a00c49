// The log of one partition as the core sees it: sequences, where entries begin and end, and when their space is given back.
//
//   start ........ kept_to ............ low ............ high ....... next
//     kept for replay | settled by some  | to be settled   | not durable yet
//
// Entries are remembered in a window: those near the readers and the tail with their index, others not at all; they are loaded when a reader or
// the reclaiming of space comes to them. Memory follows the readers, never the backlog.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "broker/core/entry_index.hpp"
#include "broker/core/identity.hpp"
#include "broker/core/mutation.hpp"
#include "broker/core/row.hpp"
#include "broker/core/settings.hpp"

namespace millrace::core {

class partition_log {
public:
    /// An entry closes at this size of records, so that a reader of one message never reads much more.
    static constexpr std::uint32_t entry_bytes_max = 1u << 20;

    struct slot {
        sequence first;
        std::uint32_t bytes = 0;
        timestamp appended_at;  // of its last batch
        shared_index index;     // empty once every reader has passed it
        bool freed = false;     // a hole: its messages are settled and its space given back
        group_number freed_in{};
    };

    explicit partition_log(const log_row& stored);

    partition_id id() const { return id_; }
    sequence start() const { return start_; }
    sequence kept_to() const { return kept_to_; }
    sequence low() const { return low_; }
    sequence high() const { return high_; }
    sequence next() const { return next_; }
    std::uint64_t bytes() const { return bytes_; }
    timestamp newest() const { return newest_; }  // appended_at of the last batch
    std::uint64_t backlog_bytes() const { return bytes_ - kept_bytes_; }
    log_row to_row() const { return {id_, next_, start_, kept_to_, bytes_, kept_bytes_}; }

    // ---- writing ----

    struct place { sequence entry; sequence first; };
    /// Gives sequences to a batch and a place in an open entry.
    place append(timestamp now, std::span<const std::uint32_t> record_ends);

    bool has_open() const { return !open_.empty(); }

    /// Closes the open entries for group `number` and appends their mutations.
    void close_entries(group_number number, std::vector<mutation>& out);

    /// Entries of groups up to `number` are durable: high moves. Returns whether it did.
    bool commit(group_number number);

    // ---- reading ----

    /// The index of the entry that holds `s`; nullptr when it is not in the window.
    shared_index find(sequence s) const;

    /// Whether a load from `from` should be asked for now; remembers that it is under way.
    bool begin_load(sequence from);

    /// What a load from `from` brought.
    void finish_load(sequence from, const std::vector<shared_index>& entries);
    void abandon_load(sequence from) { loading_.erase(from); }

    /// What is durable of first..last is damaged in the store, and with it the whole of every entry that it touches: readers pass over it as over a hole.
    void set_aside(sequence first, sequence last);

    /// Every reader stands at or after `s`: indexes before it are dropped.
    void release_before(sequence s);

    /// Keeps the window's weight under `limit` by forgetting entries far from the `readers`. A hole that was freed after `durable` stays: a load
    /// could still see its entry in the store.
    void trim(std::uint64_t limit, std::span<const sequence> readers, group_number durable);

    // ---- giving space back ----

    /// All before `low` is settled by every subscription. It may go back when a new subscription starts earlier.
    void set_low(sequence low);

    /// Frees what retention allows at the front, and returns from where entries must be loaded to go on, if any.
    std::optional<sequence> reclaim(timestamp now, const topic_settings& keep, std::vector<mutation>& out);

    /// Frees the entry that ends in `last`, all of whose messages are settled though older ones are not.
    void free_hole(sequence last, group_number number, std::vector<mutation>& out);

    /// The entry that holds `s`; nullptr when it is not in the window.
    const slot* slot_at(sequence s, sequence* last = nullptr) const;

private:
    static std::uint64_t weight(const slot& s) { return 32 + (s.index ? s.index->count() : 0); }
    void insert(const shared_index& index);
    void insert_hole(sequence first, sequence last, group_number freed_in);
    bool may_drop(timestamp appended_at, timestamp now, const topic_settings& keep) const;

    partition_id id_;
    sequence start_, kept_to_, low_, high_, next_;
    std::uint64_t bytes_ = 0;
    std::uint64_t kept_bytes_ = 0;
    timestamp newest_;

    std::vector<std::shared_ptr<entry_index>> open_;
    std::deque<std::pair<group_number, shared_index>> committing_;

    std::map<sequence, slot> window_;  // by last sequence
    std::uint64_t weight_ = 0;
    sequence released_to_;
    std::map<sequence, sequence> loading_;  // from → high when it was asked for
};

}  // namespace millrace::core
