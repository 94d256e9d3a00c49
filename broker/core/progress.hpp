// How far one subscription has come in one partition: what is settled, who holds what, what must be given again and when.
//
//                    grant                  start                 settle (ack, reject, exhausted …)
//   not yet given ─────────► leased,buffered ─────► leased,started ─────────────────────────► settled
//      (≥ scan)               ▲   │ release, session lost   │ nack            │ deadline, session lost for 10 s
//                       grant │   ▼                         ▼ counts          │ counts
//                          returned ◄──────due────────── delayed             │
//                             ▲──────────────────────────────────────────────┘
//
// Every message from start to high is in exactly one of these places; check() proves it. Leases are soft state: they are not stored, so after a
// restart everything unsettled is given again, unless a returning client adopts it first. What is stored is how often a message has failed.
// Leases and returned messages are kept as runs; the cost of a run does not depend on its length.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
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
    void recover(const failure_row& stored);
    void recover(const hand_over_row& stored);

    /// Clients of the broker's former life may hold what is unsettled before `high`, the log's end at the restart.
    void expect_returns(sequence high) { old_until_ = high; }
    bool may_be_held() const { return settled_.cursor() < old_until_; }

    std::uint32_t partition() const { return partition_; }
    sequence start() const { return start_; }
    sequence cursor() const { return settled_.cursor(); }
    sequence scan() const { return scan_; }
    std::uint64_t leased() const { return leased_count_; }
    /// When the lease began that has been started longest; none: none is started. It looks at each lease.
    std::optional<timestamp> oldest_start() const;
    std::uint64_t delayed() const { return delayed_.size(); }
    std::uint64_t ready(sequence high) const;
    const settled_counts& counts() const { return counts_; }

    /// Whether it is known that something is settled there, be the blocks that say what loaded or not.
    bool has_settled_beyond_cursor() const { return counts_.total() > cursor() - start(); }
    settled_set::changes take_changes() { return settled_.take_changes(); }
    const settled_set& settled() const { return settled_; }
    progress_row to_row() const { return {subscription_, partition_, start_, settled_.cursor(), counts_}; }

    /// Rows as settled_set::load wants them. Returns whether the cursor moved.
    bool load(std::uint64_t from, std::uint64_t to, const std::vector<settled_set::block_row>& rows);

    /// The least sequence whose entry this subscription still needs: unsettled, parked, or on its way to another topic.
    sequence least_needed() const;
    /// Whether it needs none of first..last any more. REQUIRES that the blocks are known.
    bool is_done_with(sequence first, sequence last) const;

    // ---- giving ----

    struct run {
        sequence first, last;
        std::uint32_t attempt = 1;
    };

    /// The next messages to give, before `high`: returned ones first. nullopt when there are none, when blocks must be loaded first (then
    /// missing_block() says which), or when too many are outstanding.
    std::optional<run> next_ready(sequence high);
    std::optional<std::uint64_t> missing_block() const { return missing_block_; }

    /// Leases the first `count` messages of `ready`, which next_ready() has just returned. The lease has no deadline until it is started.
    void grant(const run& ready, std::uint64_t count, holder_id holder);

    /// A returning client shows tokens of leases that it had: those whose holder `is_gone`, and messages that nobody has, become leases of `holder`
    /// again, started. The others are appended to `lost`; returns how many were adopted. REQUIRES that the blocks are known.
    std::uint64_t adopt(const lease_range& range, holder_id holder, timestamp now, duration timeout,
                        const std::function<bool(holder_id)>& is_gone, std::vector<lease_range>& lost);

    // ---- while it is held ----

    /// The handler has begun: the deadline is now + timeout. Ranges that somebody else has, or nobody, are passed over.
    void start(const lease_range& range, holder_id holder, timestamp now, duration timeout);

    /// Moves deadlines of started leases to now + timeout. Appends to `lost` what `holder` does not have, and to `limited` what is older than `longest`
    /// and keeps its deadline.
    void extend(const lease_range& range, holder_id holder, timestamp now, duration timeout, duration longest, std::vector<lease_range>& lost,
                std::vector<lease_range>& limited);

    // ---- handing in ----

    /// What ends a lease: `settled_as` set, it settles; else it is given back, with a failure counted or not.
    struct handed_in {
        std::uint64_t released = 0;  // leases of the holder that ended
        bool is_stored = false;      // something changed that the store must know
        std::vector<std::pair<holder_id, std::uint64_t>> expired;  // whose leases ended by themselves
        std::vector<sequence> exhausted;  // failed as often as they may: still leased by nobody; bury() or park() them now
    };

    /// Acks: returns through `in.released`. A message that nobody has been given since is acked too. Appends to `lost` what somebody else has.
    void ack(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost);

    /// Given back unstarted, or unwanted: does not count.
    void release(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost);

    /// Failed: counts; comes again after its backoff, or is exhausted after `deliveries_max` failures.
    void nack(const lease_range& range, holder_id holder, timestamp now, const subscription_settings& policy, handed_in& in,
              std::vector<lease_range>& lost);

    /// Failed for good: every message of the range that `holder` has is exhausted at once.
    void reject(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost);

    /// The session of `holder` is gone: what it had not started is returned, started leases end at `grace` at the latest. Returns how many it held.
    std::uint64_t orphan(holder_id holder, timestamp grace);

    /// Gives back everything that `holder` holds, uncounted. Returns how many messages that were.
    std::uint64_t give_back(holder_id holder);

    // ---- time ----

    /// When expire() should be called, at the earliest useful moment: a lease may have been extended since.
    std::optional<timestamp> next_due() const;

    /// No delayed message waits for longer than a backoff from `now`. REQUIRES that this broker has not delayed any yet: what is stored may have been
    /// written by a clock that was ahead, and would wait until this one has caught up.
    void bound_delays(timestamp now, const subscription_settings& policy);

    /// Returns delayed messages that are due, and ends leases past their deadline, which counts as a failure.
    void expire(timestamp now, const subscription_settings& policy, handed_in& in);

    // ---- settling without a lease ----

    /// Settles what nobody holds in first..last, counting it under `as`. REQUIRES that the blocks are known.
    std::uint64_t settle_unleased(sequence first, sequence last, std::uint64_t settled_counts::*as);

    /// Settles an exhausted message as dead, on its way to another topic, or as parked here. Its entry stays until the hand-over is done.
    void bury(sequence s, const std::string& reason);
    void park(sequence s, const std::string& reason);
    /// Nothing takes the dead any more: what is still on its way is parked here instead. Returns where, in order.
    std::vector<sequence> park_hand_overs(const std::function<bool(sequence)>& which);
    /// The message has arrived in the other topic. Returns the key of its row; empty when it was not on its way.
    std::string handed_over(sequence s);
    const std::map<sequence, hand_over_row>& hand_overs() const { return hand_overs_; }
    std::uint32_t failures_of(sequence s) const;

    /// Rows of failures and hand-overs that have changed since the last call.
    struct row_changes {
        std::vector<row> put;
        std::vector<std::string> erase;
    };
    row_changes take_row_changes();

    /// What cannot be true of what it was recovered from, in a log whose next sequence is `next`. Empty: nothing contradicts itself.
    std::string contradiction(sequence next) const;
    /// The same of rows as load() wants them, before they are loaded. REQUIRES that the former is empty.
    std::string contradiction(std::uint64_t from, std::uint64_t to, const std::vector<settled_set::block_row>& rows, sequence next) const;

    /// How far the messages from start to `high` are from the sum of its states; 0 while the law holds.
    std::uint64_t unaccounted(sequence high) const;

    /// Aborts unless every message from start to `high` is in exactly one place.
    void check(sequence high) const;

    /// More messages than this are not leased, returned and delayed together: nothing new is given until some are settled.
    static constexpr std::uint64_t outstanding_max = 100'000;

private:
    struct lease {
        sequence last;
        holder_id holder;
        std::uint32_t attempt = 1;
        std::uint32_t next_attempt = 2;  // the number its next lease gets: more than any before, so that no consumer has one twice
        bool started = false;
        timestamp started_at;
        timestamp deadline;
    };
    struct returned {
        sequence last;
        std::uint32_t attempt = 1;  // the number its next lease gets
    };
    struct delayed_message {
        timestamp due;
        std::uint32_t attempt = 1;
    };
    struct failure {
        std::uint32_t count = 0;
        bool parked = false;
        std::string reason;
    };
    using lease_map = std::map<sequence, lease>;
    using returned_map = std::map<sequence, returned>;

    void add_lease(sequence first, const lease& l);
    void add_returned(sequence first, sequence last, std::uint32_t attempt);
    void delay(sequence s, timestamp due, std::uint32_t attempt);
    void fail(sequence first, sequence last, std::uint32_t next_attempt, timestamp now, const subscription_settings& policy, bool back_off,
              handed_in& in);
    template <class Taken>
    void take(const lease_range& range, holder_id holder, handed_in& in, std::vector<lease_range>& lost, bool late, Taken taken);
    void name_never_given(sequence first, sequence last, std::uint32_t attempt, bool late, std::vector<lease_range>& lost) const;
    template <class Taken>
    void take_unleased(sequence first, sequence last, Taken taken);
    void settle(sequence first, sequence last, std::uint64_t settled_counts::*as);
    void scan_from_cursor();
    void claim(sequence first, sequence last);
    void unclaim(sequence first, sequence last);
    std::optional<sequence> claimed_at(sequence s) const;
    sequence next_claim(sequence from, sequence limit) const;
    void forget_failures(sequence first, sequence last);

    subscription_id subscription_;
    std::uint32_t partition_;
    sequence start_;
    settled_set settled_;
    settled_counts counts_;
    sequence old_until_;
    sequence scan_;  // everything unsettled before it is leased, returned or delayed
    std::uint64_t settled_beyond_scan_ = 0;
    std::uint64_t claimed_beyond_scan_ = 0;  // leased, returned or delayed at or after scan: adopted or recovered

    lease_map leases_;       // by first sequence, disjoint
    returned_map returned_;  // by first sequence, disjoint
    std::uint64_t leased_count_ = 0;
    std::uint64_t returned_count_ = 0;
    timestamp earliest_deadline_ = timestamp::max();  // no started lease ends before it

    std::map<sequence, delayed_message> delayed_;
    std::set<std::pair<timestamp, sequence>> by_due_;

    std::map<sequence, failure> failures_;  // of unsettled and parked messages
    std::map<sequence, hand_over_row> hand_overs_;
    std::set<sequence> parked_;
    std::set<sequence> changed_failures_;
    std::set<sequence> changed_hand_overs_;

    std::optional<std::uint64_t> missing_block_;
};

}  // namespace millrace::core
