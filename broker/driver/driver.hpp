// Runs a shard: gives the core its inputs, fills its groups with payload, turns its effects into actions for whoever has sockets, disks and clocks.
//
//   session ──request──►┌────────┐──input──►┌──────┐
//   store ──committed──►│ driver │          │ core │
//   store ──read───────►│        │◄─effect──└──────┘
//   clock ──on_time────►└────────┘──actions──► answers, pushes, commits, reads
//
// A plain class: no sockets, no threads, no clock. The simulator runs it unchanged. Requests and groups are in driver.cpp, what the store is read for in
// driver_read.cpp, what is given out with its bytes in driver_give.cpp.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "broker/core/shard.hpp"
#include "broker/driver/entry_cache.hpp"
#include "broker/driver/figures.hpp"
#include "broker/driver/scrubber.hpp"
#include "broker/driver/space_gate.hpp"
#include "broker/storage/store.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::driver {

struct driver_settings {
    std::size_t tail_cache_bytes = 96u << 20;
    std::size_t read_cache_bytes = 32u << 20;
    std::size_t groups_in_flight = 3;  // one is made into a batch, one is written and synced, and one is on its way between the threads
    std::size_t reads_in_flight = 4;   // each brings an entry at least, so this bounds what they hold; the others wait for their turn
    std::uint64_t scrub_bytes_per_second = 0;
    std::chrono::microseconds company_time{0};  // how long a group without a message may wait for one, while messages come; 0: not at all
};

/// A batch as it came. `records` must stay during the call only.
struct publish_request {
    core::origin from;
    core::partition_id partition;
    std::uint32_t count = 0;
    durability demanded = durability::memory;
    std::span<const std::byte> records;
    core::batch_claim claim;  // without a checksum, until the records have been checked
};

/// What a batch must be before a core hears of it: neither empty nor too large, and each record whole. Appends the offsets of the records' ends.
error check_records(const publish_request& request, std::vector<std::uint32_t>& record_ends);

/// Records of one batch, as stored; `owner` keeps them.
struct record_run {
    core::partition_id partition;
    sequence first;
    std::uint32_t count = 0;
    std::uint32_t attempt = 0;
    timestamp appended_at;
    core::entry_bytes owner;
    std::span<const std::byte> records;
};

struct push {
    core::session_id session{};
    core::consumer_id consumer{};
    record_run run;
};

struct peeked {
    core::origin to;
    sequence start, high;
    std::vector<record_run> runs;
};

struct read_request {
    core::partition_id partition;
    sequence from;
    std::uint32_t bytes = 0;
};

struct scan_request {
    core::subscription_id subscription{};
    std::uint32_t partition = 0;
    std::uint64_t from = 0;
    core::row_range range;
    std::uint32_t limit = 0;
};

struct session_close {
    core::session_id session{};
    error why;
};

/// An envelope for a topic of another shard.
struct move {
    core::dead_message what;
    core::partition_id target;
    std::vector<std::byte> envelope;
};

/// What is to be done, in this order. Everything in here may leave at once.
struct actions {
    std::vector<core::answer> answers;  // never answers::browse
    std::vector<peeked> peeks;
    std::vector<push> pushes;
    std::vector<core::consumer_ended> ended;
    std::vector<session_close> closes;
    std::vector<core::group> commits;
    std::vector<read_request> reads;
    std::vector<scan_request> scans;
    std::vector<move> moves;                        // where there are other shards, and so are these
    std::vector<core::producer_id> idle_producers;  // to be forgotten by all of them
    bool wants_space = false;  // on_space() is due
    std::vector<error> alarms;  // for the log: what is damaged, and what came of it
    error fatal;  // set: the store failed, and this driver with it; after outcome_unknown the shard may be opened again, else the process ends

    bool empty() const;
};

class driver {
public:
    /// `before` is what earlier drivers of this shard have counted, in the same process.
    driver(core::shard shard, const driver_settings& settings, figures before = {});
    driver(const driver&) = delete;  // what waits counts itself in it

    /// Any input of a session but a publish.
    void submit(timestamp now, const core::any_input& request);
    void publish(timestamp now, const publish_request& request);

    /// A batch whose records have been checked and whose claim has their checksum.
    void publish_checked(timestamp now, const publish_request& request, std::span<const std::uint32_t> record_ends);

    /// Says no, before the core has heard of it.
    void refuse(core::origin from, error why) { actions_.answers.push_back({from, std::move(why)}); }

    /// The envelope of a message that died in another shard. Answered to `from`.
    void arrive(timestamp now, core::origin from, const move& what);

    void on_committed(timestamp now, core::group_number number, const error& failed);
    void on_read(timestamp now, const read_request& request, result<std::vector<storage::stored_entry>> found);
    void on_scanned(timestamp now, const scan_request& request, result<std::vector<core::row>> found);
    void on_time(timestamp now);

    /// What the store's disk has now. Call now and then, and when actions ask for it: on a disk without room, messages, topics and subscriptions are refused
    /// before the core hears of them, and the dead stay where they are until there is room for them.
    void on_space(timestamp now, const std::optional<storage::disk_space>& disk);

    /// Closes a group when there is something to commit and the store can take it. Call when all input at hand has been submitted.
    void flush(timestamp now);

    /// When on_time() is due, at the latest.
    std::optional<timestamp> next_deadline() const;
    std::size_t groups_in_flight() const { return in_flight_.size(); }
    bool idle() const { return in_flight_.empty() && !shard_.has_open_group(); }
    std::size_t reads_waiting() const { return to_read_.size(); }  // for their turn

    /// What has gathered since the last call.
    actions take_actions();

    const core::shard& shard() const { return shard_; }
    const space_gate& gate() const { return gate_; }
    figures counted() const;

private:
    struct closed_group {
        core::group_number number{};
        std::uint64_t bytes = 0;  // of its messages, those of topics that are gone included
        timestamp begun;
        std::uint64_t messages = 0, record_bytes = 0;  // that it appends
    };
    struct waiting_delivery {
        core::delivery what;
        core::entry_bytes kept;         // the bytes of its entry, if they were there when it came: those before it may wait longer than the cache remembers
        std::shared_ptr<void> counted;  // in kept_bytes_, as long as this is there
    };
    struct waiting_consumer {
        std::deque<waiting_delivery> deliveries;  // in order; the first waits for its bytes
    };

    /// Of one read that a delivery or a peek needs again.
    static constexpr std::uint32_t reread_bytes = 256u << 10;

    /// What a read is known to bring besides its first entry, once deliveries count on it.
    struct expected_read {
        sequence next;                  // all from where it begins up to here
        std::uint64_t left = 0;         // bytes that it may bring besides
        std::uint64_t entry_bytes = 0;  // of the last one counted on
    };

    bool waits_for_company(timestamp now);
    void step(timestamp now, const core::any_input& in);
    void perform(timestamp now, core::effects& effects);
    void load(timestamp now, const core::load_entries& wanted);
    void deliver(core::delivery&& d);
    bool try_deliver(const core::delivery& d, const core::entry_bytes& kept = nullptr);
    waiting_delivery keep(core::delivery&& d, const std::deque<waiting_delivery>& before);
    void drain_waiting(const read_request& done, const std::vector<core::shared_index>& found);
    void hand_over(timestamp now, const core::hand_over& wanted);
    bool try_hand_over(timestamp now, const core::hand_over& wanted);
    std::uint64_t unwritten_bytes() const;
    void append(const core::accepted& taken, std::span<const std::byte> records, std::uint32_t count, const core::batch_claim& claim);
    void browse(const core::origin& to, const core::answers::browse& wanted);
    struct damaged_range {
        sequence first, last;
        std::string why;
    };
    void take_damage(timestamp now, core::partition_id partition, const damaged_range& d, std::optional<sequence> ended_load);
    void forget_freed();
    void scrub(timestamp now);
    void fail_read(timestamp now, const read_request& request, bool for_core, const error& failed);
    void resume_browsing(const read_request& done, const std::vector<core::shared_index>& found);
    bool try_browse(const core::origin& to, const core::answers::browse& wanted);
    void request_read(core::partition_id partition, sequence from, std::uint32_t bytes);
    void request_read(core::partition_id partition, sequence from, std::uint32_t bytes, const expected_read& expected);
    void request_entry(const core::delivery& d);
    const cached_entry* find(core::partition_id partition, sequence s) const;

    core::shard shard_;
    driver_settings settings_;
    scrubber scrubber_;
    entry_cache tail_;
    entry_cache read_;

    std::map<std::pair<core::partition_id, sequence>, std::shared_ptr<std::vector<std::byte>>> open_entries_;
    std::uint64_t open_bytes_ = 0;  // of messages, since the last group was closed
    std::deque<closed_group> in_flight_;
    timestamp last_append_;                   // when the last group with a message was closed
    std::optional<timestamp> company_until_;  // the open group waits for a message until then
    std::size_t kept_bytes_ = 0;              // of entries, for deliveries that wait
    std::map<core::holder_id, waiting_consumer> waiting_;
    std::vector<std::pair<core::origin, core::answers::browse>> browsing_;
    std::vector<core::hand_over> handing_over_;  // wait for the bytes of their message
    std::vector<core::hand_over> put_off_;       // wait for room
    std::map<std::pair<core::partition_id, sequence>, expected_read> reading_;  // what was asked for, whether it is under way or not
    std::deque<read_request> to_read_;                                          // of them, those that wait for their turn
    std::size_t reads_in_flight_ = 0;
    std::map<std::pair<core::partition_id, sequence>, core::group_number> freed_;  // until no read can bring back what is no more
    std::set<std::pair<core::partition_id, sequence>> core_reads_;  // of them, those the core asked for

    space_gate gate_;
    std::vector<std::uint32_t> record_ends_;
    actions actions_;
    figures counted_;
};

}  // namespace millrace::driver
