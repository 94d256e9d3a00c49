// The rows in which the core keeps what it must find again after a restart: keys in byte order, values with a version byte.
//
//   key                                          value
//   'M'                                          meta: next ids, catalog version
//   'T' topic                                    topic: name, settings
//   'S' subscription                             subscription: topic, name, settings
//   'P' topic partition                          log: next sequence, start, bytes
//   'G' subscription partition                   progress: start, cursor, counts
//   'N' producer                                 named producer: name, epoch (producers.cpp)
//   'Q' producer topic partition                 its last batches there (producers.cpp)
//   'F' subscription partition sequence          a message that has failed: how often, when it is due again, or that it is parked and why
//   'H' subscription partition sequence          a dead message on its way to another topic, with failures and reason
//   'I' subscription partition sequence          it has arrived in the topic of another shard, which one (shard_others.cpp)
//   'B' subscription partition last-block        settled blocks: a bitmap, or the first of a run of full ones
//
// Numbers in keys are big-endian (u32 ids and partitions, u64 blocks), in values little-endian. Golden values: tests/core/row_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/core/identity.hpp"
#include "broker/core/mutation.hpp"
#include "broker/core/settings.hpp"
#include "broker/core/settled_set.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

struct meta_row {
    std::uint32_t next_topic = 1;
    std::uint32_t next_subscription = 1;
    std::uint64_t catalog_version = 0;
    std::uint64_t next_producer = 1;

    bool operator==(const meta_row&) const = default;
};

struct topic_row {
    topic_id id{};
    std::string name;
    timestamp created_at;
    topic_settings settings;

    bool operator==(const topic_row&) const = default;
};

struct subscription_row {
    subscription_id id{};
    topic_id topic{};
    std::string name;
    timestamp created_at;
    subscription_settings settings;

    bool operator==(const subscription_row&) const = default;
};

struct log_row {
    partition_id partition;
    sequence next;                   // the next to give
    sequence start;                  // the first retained
    sequence kept_to;                // entries before it are settled by every subscription and kept for replay
    std::uint64_t bytes = 0;         // of retained records
    std::uint64_t kept_bytes = 0;    // of them, before kept_to

    bool operator==(const log_row&) const = default;
};

struct settled_counts {
    std::uint64_t acked = 0;
    std::uint64_t dead = 0;
    std::uint64_t parked = 0;
    std::uint64_t expired = 0;
    std::uint64_t skipped = 0;

    std::uint64_t total() const { return acked + dead + parked + expired + skipped; }
    settled_counts& operator+=(const settled_counts& more) {
        acked += more.acked;
        dead += more.dead;
        parked += more.parked;
        expired += more.expired;
        skipped += more.skipped;
        return *this;
    }
    bool operator==(const settled_counts&) const = default;
};

struct progress_row {
    subscription_id subscription{};
    std::uint32_t partition = 0;
    sequence start;
    sequence cursor;
    settled_counts counts;

    bool operator==(const progress_row&) const = default;
};

struct failure_row {
    subscription_id subscription{};
    std::uint32_t partition = 0;
    sequence at;
    std::uint32_t count = 0;
    timestamp due;
    bool parked = false;
    std::string reason;

    bool operator==(const failure_row&) const = default;
};

struct hand_over_row {
    subscription_id subscription{};
    std::uint32_t partition = 0;
    sequence at;
    std::uint32_t failures = 0;
    std::string reason;

    bool operator==(const hand_over_row&) const = default;
};

/// A message that died and is on its way to another topic.
struct dead_message {
    subscription_id subscription{};
    std::uint32_t partition = 0;
    sequence at;

    auto operator<=>(const dead_message&) const = default;
};

/// Its envelope is in the topic of another shard, and its hand-over row not erased yet.
struct arrival_row {
    dead_message what;
    partition_id target;

    bool operator==(const arrival_row&) const = default;
};

row encode(const meta_row&);
row encode(const topic_row&);
row encode(const subscription_row&);
row encode(const log_row&);
row encode(const progress_row&);
row encode(const failure_row&);
row encode(const hand_over_row&);
row encode(const arrival_row&);
row encode(subscription_id, std::uint32_t partition, const settled_set::block_row&);
std::string block_key(subscription_id, std::uint32_t partition, std::uint64_t last_block);
std::string arrival_key(const dead_message&);
std::string log_key(partition_id);
std::string topic_key(topic_id);
std::string subscription_key(subscription_id);

/// The subscription whose progress, failure, hand-over, arrival or block row has this key, also where the row itself cannot be read.
std::optional<subscription_id> subscription_of(std::string_view key);

/// Errors of every decode: corruption, naming the key. The row must be of that kind.
error decode(const row&, meta_row&);
error decode(const row&, topic_row&);
error decode(const row&, subscription_row&);
error decode(const row&, log_row&);
error decode(const row&, progress_row&);
error decode(const row&, failure_row&);
error decode(const row&, hand_over_row&);
error decode(const row&, arrival_row&);
error decode(const row&, settled_set::block_row&);

/// Everything but settled blocks: what is read at start, in key order.
row_range start_rows();
/// The log rows of a topic; the progress rows, and the block rows, of a subscription.
row_range log_rows(topic_id);
row_range progress_rows(subscription_id);
row_range failure_rows(subscription_id);
row_range hand_over_rows(subscription_id);
row_range arrival_rows(subscription_id);
row_range block_rows(subscription_id);
/// The block rows that end in block `from` or later.
row_range block_rows(subscription_id, std::uint32_t partition, std::uint64_t from);

}  // namespace millrace::core
