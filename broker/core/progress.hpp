// How far one subscription has come in one partition: what is settled, who holds what, what must be given again.
//
//                      grant                      settle (ack …)
//   not yet given  ───────────────►  leased  ─────────────────────►  settled
//      (≥ scan)                       │    ▲
//                            give back│    │grant
//                                     ▼    │
//                                   returned
//
// Every message from start to high is in exactly one of these places; check() proves it. Leases are soft state: they are not stored, so after a
// restart everything unsettled is given again. Leases and returned messages are kept as runs; the cost of a run does not depend on its length.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "broker/core/identity.hpp"
#include "broker/core/input.hpp"
#include "broker/core/row.hpp"
#include "broker/core/settled_set.hpp"

namespace millrace::core {

/// A consumer's name across the shard.
struct holder_id {
    session_id session{};
    consumer_id consumer{};

    auto operator<=>(const holder_id&) const = default;
};

class progress {
public:
    /// A new one, which begins at `start`.
    progress(subscription_id subscription, std::uint32_t partition, sequence start);
    /// One found in the store.
    explicit progress(const progress_row& stored);

    std::uint32_t partition() const { return partition_; }
    sequence start() const { return start_; }
    sequence cursor() const { return settled_.cursor(); }
    sequence scan() const { return scan_; }
    std::uint64_t leased() const { return leased_count_; }
    std::uint64_t ready(sequence high) const;
    const settled_counts& counts() const { return counts_; }
    settled_set::changes take_changes() { return settled_.take_changes(); }
    const settled_set& settled() const { return settled_; }
    progress_row to_row() const { return {subscription_, partition_, start_, settled_.cursor(), counts_}; }

    /// Rows as settled_set::load wants them. Returns whether the cursor moved.
    bool load(std::uint64_t from, std::uint64_t to, const std::vector<settled_set::block_row>& rows);

    struct run {
        sequence first, last;
        std::uint32_t attempt = 1;
    };

    /// The next messages to give, before `high`: returned ones first. nullopt when there are none, or when blocks must be loaded first:
    /// then missing_block() says which.
    std::optional<run> next_ready(sequence high);
    std::optional<std::uint64_t> missing_block() const { return missing_block_; }

    /// Leases the first `count` messages of `ready`, which next_ready() has just returned.
    void grant(const run& ready, std::uint64_t count, holder_id holder);

    /// Acks one range for `holder`; appends to `lost` what somebody else has been given, and calls `released` with how many of its leases ended.
    /// Returns how many messages became settled.
    std::uint64_t ack(const lease_range& range, holder_id holder, std::vector<lease_range>& lost, std::uint64_t& released);

    /// Gives back everything that `holder` holds; each comes again as its next attempt. Returns how many messages that were.
    std::uint64_t give_back(holder_id holder);

    /// Settles what is neither leased nor settled in first..last, counting it under `as`. REQUIRES that the blocks are known.
    std::uint64_t settle_unleased(sequence first, sequence last, std::uint64_t settled_counts::*as);

    /// Aborts unless every message from start to `high` is in exactly one place.
    void check(sequence high) const;

private:
    struct lease {
        sequence last;
        holder_id holder;
        std::uint32_t attempt = 1;
    };
    struct returned {
        sequence last;
        std::uint32_t attempt = 1;  // the number its next lease gets
    };
    using lease_map = std::map<sequence, lease>;
    using returned_map = std::map<sequence, returned>;

    void add_lease(const run& r, holder_id holder);
    void add_returned(sequence first, sequence last, std::uint32_t attempt);
    void settle(sequence first, sequence last, std::uint64_t settled_counts::*as);
    void scan_from_cursor();
    std::uint64_t settle_returned(sequence first, sequence last, std::uint64_t settled_counts::*as);

    subscription_id subscription_;
    std::uint32_t partition_;
    sequence start_;
    settled_set settled_;
    settled_counts counts_;
    sequence scan_;  // everything unsettled before it is leased or returned
    std::uint64_t settled_beyond_scan_ = 0;
    lease_map leases_;      // by first sequence, disjoint
    returned_map returned_; // by first sequence, disjoint
    std::uint64_t leased_count_ = 0;
    std::uint64_t returned_count_ = 0;
    std::optional<std::uint64_t> missing_block_;
};

}  // namespace millrace::core
