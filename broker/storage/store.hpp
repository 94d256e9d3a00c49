// The store contract: what the broker asks of an engine, and all it may assume of one. One conformance suite
// (tests/storage/conformance.cpp) holds every engine to it.
//
// Keys carry topic and partition ids, never shard numbers: the number of shards may change at any restart. A shard is the unit of
// commit order and fencing; there is no transaction across shards.
//
// Threads: open() and checkpoint() from one thread at a time, while no commit is submitted. commit() from one thread per shard. read(), scan() and
// space() from any thread; beside an open() that recovers, reads are refused. A commit_done may commit, read and scan, but not open() or destroy
// the store: those wait for it. Nothing here throws.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/identity.hpp"
#include "broker/core/mutation.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::storage {

struct stored_entry {
    sequence last;
    core::entry_bytes bytes{};
    std::string damage{};  // set: there are no bytes, for they cannot be read, and this is why; nothing up to `last` can be, unless a later entry holds it
};

/// The disk under a store, in bytes.
struct disk_space {
    std::uint64_t free = 0;     // what may still be written, but for what the engine keeps for its own emergencies
    std::uint64_t reserve = 0;  // of it, what the engine needs to settle and to give back what it holds: below, nothing new is to be brought

    bool operator==(const disk_space&) const = default;
};

class store {
public:
    /// Called once, from any thread, possibly before commit() returns. No error: every mutation of the group is applied and as durable as level() says.
    /// outcome_unknown: it may or may not be found after the next open. Shards share a log, so this shard and every other take no further commit,
    /// answering them the same, each until it is opened again.
    /// sync_failed: as outcome_unknown, and it was the disk's confirmation that failed. A broker ends then: a disk that has once dropped what it
    /// took is not to be trusted by the process that wrote it.
    /// fenced: nothing was applied.
    using commit_done = std::function<void(error)>;

    virtual ~store() = default;

    /// What an answer may promise after commit_done.
    virtual durability level() const = 0;

    /// Makes the caller the writer of `shard` under a new, larger fencing epoch, kept in the store. Commits that are under way are finished first.
    virtual result<core::fencing_epoch> open(core::shard_id shard) = 0;

    /// Applies `group` all or nothing, after every group submitted before for the shard. Takes as many groups as it is given; the caller
    /// bounds how many are under way. The engine may run a lone small commit on the calling thread.
    virtual void commit(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation> group, commit_done done) = 0;

    /// Entries of `partition` in order, beginning with the first whose last sequence is at or after `from`: at least one if there is one, then as long
    /// as the sum stays within `max_bytes`; an engine may end before one whose size it would have to read. Sees every committed group. A damaged entry
    /// does not hide those behind it: it is named, without its bytes.
    /// Errors: storage_failure, which may pass; corruption, when not even that can be said.
    virtual result<std::vector<stored_entry>> read(core::partition_id partition, sequence from, std::size_t max_bytes) = 0;

    /// Rows of `range` in key order, at most `limit`.
    virtual result<std::vector<core::row>> scan(const core::row_range& range, std::size_t limit) = 0;

    /// A consistent copy of everything committed, in a new directory `dir`, which can be opened as a store. Engines without
    /// files refuse with invalid_argument.
    virtual error checkpoint(const std::filesystem::path& dir) = 0;

    /// What the disk says now, at the price of a system call. What was committed and what is committed later take about as much again before they are
    /// where they stay: the reserve covers that. nullopt: nothing that could be full, or it does not say.
    virtual std::optional<disk_space> space() = 0;
};

}  // namespace millrace::storage
