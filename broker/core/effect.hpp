// Everything a shard wants done: small values that can be compared and printed. Whoever performs them performs them in order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/core/entry_index.hpp"
#include "broker/core/identity.hpp"
#include "broker/core/input.hpp"
#include "broker/core/mutation.hpp"
#include "broker/core/row.hpp"
#include "broker/core/settings.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

namespace answers {

struct done { bool operator==(const done&) const = default; };

struct published { sequence first; bool operator==(const published&) const = default; };

struct producer_opened {
    producer_id id{};
    std::uint32_t epoch = 0;
    std::vector<producer_position> positions;
    bool operator==(const producer_opened&) const = default;
};

struct acked {
    std::vector<lease_range> lost;
    std::vector<lease_range> limited{};  // of an extension: as old as a lease may get
    bool operator==(const acked&) const = default;
};

struct subscribed {
    consumer_id consumer{};
    topic_id topic{};
    subscription_id subscription{};
    duration visibility_timeout{};
    std::vector<lease_range> lost;
    bool operator==(const subscribed&) const = default;
};

struct topic_place {
    std::string name;
    std::optional<topic_id> id;  // none: there is no such topic
    std::uint32_t partitions = 0;
    bool operator==(const topic_place&) const = default;
};
struct metadata { std::uint64_t version = 0; std::vector<topic_place> topics; bool operator==(const metadata&) const = default; };

struct partition_info {
    sequence start, low, high;
    std::uint64_t bytes = 0, backlog = 0;
    bool operator==(const partition_info&) const = default;
};
struct topic_info {
    std::string name;
    topic_id id{};
    timestamp created_at;
    topic_settings settings;
    std::vector<partition_info> partitions;
    std::vector<std::string> subscriptions;
    bool operator==(const topic_info&) const = default;
};

struct subscription_names { std::vector<std::string> names; bool operator==(const subscription_names&) const = default; };

struct name_page { std::vector<std::string> names; bool more = false; bool operator==(const name_page&) const = default; };

/// The conservation law in numbers: published = acked + dead + parked + expired + skipped + delayed + ready + leased.
struct progress_info {
    sequence start, cursor, high;
    settled_counts settled;
    std::uint64_t delayed = 0, ready = 0, leased = 0;
    std::uint64_t published() const { return high > start ? high - start : 0; }
    bool operator==(const progress_info&) const = default;
};
struct subscription_info {
    std::string topic, name;
    subscription_id id{};
    timestamp created_at;
    subscription_settings settings;
    std::uint32_t consumers = 0;
    std::vector<progress_info> partitions;
    std::string inconsistent;  // why it is in quarantine; then the sum need not hold
    bool operator==(const subscription_info&) const = default;
};

/// The driver reads and answers: records of `partition` from `at`, which is at least `start`, to before `high`.
struct browse {
    partition_id partition;
    sequence at, start, high;
    std::uint32_t messages = 0, bytes = 0;
    bool operator==(const browse&) const = default;
};

}  // namespace answers

using any_answer = std::variant<answers::done, error, answers::published, answers::producer_opened, answers::acked, answers::subscribed, answers::metadata,
                                answers::topic_info, answers::name_page, answers::subscription_names, answers::subscription_info, answers::browse>;

struct answer {
    origin to;
    any_answer what;

    bool operator==(const answer&) const = default;
};

/// A run of messages of one batch for one consumer, leased to it.
struct delivery {
    session_id session{};
    consumer_id consumer{};
    partition_id partition;
    sequence first, last;
    std::uint32_t attempt = 1;
    shared_index entry;  // which holds first..last in one of its batches

    bool operator==(const delivery&) const = default;
};

/// The broker ended a consumer of its own accord; nothing it holds counts any more.
struct consumer_ended {
    session_id session{};
    consumer_id consumer{};
    error why;

    bool operator==(const consumer_ended&) const = default;
};

/// The batch that is being published, or the envelope handed over, was taken; its bytes go into the open entry of its partition that begins with `entry`.
struct accepted {
    partition_id partition;
    sequence entry;
    sequence first;
    timestamp appended_at;

    bool operator==(const accepted&) const = default;
};

/// Read entries from the one that holds `from` on, about `bytes` of them, and report loaded_entries.
struct load_entries {
    partition_id partition;
    sequence from;
    std::uint32_t bytes = 0;

    bool operator==(const load_entries&) const = default;
};

/// Read block rows from block `from` on, at most `limit`, and report loaded_blocks.
struct load_blocks {
    subscription_id subscription{};
    std::uint32_t partition = 0;
    std::uint64_t from = 0;
    std::uint32_t limit = 0;

    bool operator==(const load_blocks&) const = default;
};

/// A dead message, durably so, on its way to `target`: wrap its record in an envelope and report handed_over.
struct hand_over {
    subscription_id subscription{};
    partition_id source;
    sequence at;
    std::string topic;              // where it comes from
    std::string subscription_name;
    std::uint32_t failures = 0;
    std::string reason;

    bool operator==(const hand_over&) const = default;
};

using load = std::variant<load_entries, load_blocks>;

/// What one step wants done. Everything in it may leave at once: what must wait for a commit stays in the core until it is durable.
/// Answers go before deliveries.
struct effects {
    std::optional<accepted> taken;           // set by publish, handed_over and arrive alone
    std::optional<partition_id> elsewhere;  // set by handed_over: the envelope is for this partition, which is another shard's; `moved` is due
    std::vector<answer> answered;
    std::vector<delivery> delivered;
    std::vector<consumer_ended> ended;
    std::vector<hand_over> hand_overs;
    std::vector<load> loads;
    std::vector<error> alarms;  // for whoever watches the broker

    std::vector<producer_id> idle_producers;  // to be forgotten by all shards

    void clear() {
        taken.reset();
        elsewhere.reset();
        answered.clear();
        delivered.clear();
        ended.clear();
        hand_overs.clear();
        loads.clear();
        alarms.clear();
        idle_producers.clear();
    }
};

/// The mutations of one group commit, and the indexes of the entries it appends, in the order of its append mutations.
struct group {
    group_number number{};
    std::vector<mutation> mutations;
};

}  // namespace millrace::core
