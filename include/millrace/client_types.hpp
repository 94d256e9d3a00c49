// What the client library's operations take and give back. Every result carries `refusal`: the broker's own words when the operation's
// error code is set (which name, which limit, what to do), empty otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millrace/message.hpp"

namespace millrace::client {

// ---- topics --------------------------------------------------------------------------------------------------------------

/// What the broker does with a publish at a topic's limit on unsettled messages.
enum class limit_policy : std::uint8_t { refuse = 0, expire = 1 };

/// Absent: the default on create, unchanged on update. Bytes are per partition; 0 means no limit (max_…) or nothing kept (keep_…).
struct topic_settings {
    std::optional<std::uint32_t> partitions{};
    std::optional<std::chrono::milliseconds> keep_age{};
    std::optional<std::uint64_t> keep_bytes{};
    std::optional<std::chrono::milliseconds> max_age{};
    std::optional<std::uint64_t> max_backlog{};
    std::optional<limit_policy> on_limit{};
};

/// start: first sequence retained; low: least cursor of all subscriptions; high: next durable sequence.
struct partition_state {
    sequence start, low, high;
    std::uint64_t bytes = 0;    // retained
    std::uint64_t backlog = 0;  // bytes of them not settled by every subscription
};

struct topic_description {
    std::string name{};
    std::uint32_t id = 0;
    timestamp created_at;
    topic_settings settings;
    std::vector<partition_state> partitions;
    std::vector<std::string> subscriptions;
    std::string refusal{};
};

struct name_list {
    std::vector<std::string> names;
    bool more = false;  // ask again for the names after the last
    std::string refusal{};
};

// ---- subscriptions -------------------------------------------------------------------------------------------------------

/// Absent: the default on create, unchanged on update.
struct subscription_settings {
    std::optional<std::chrono::milliseconds> visibility_timeout{};  // the length of a lease, from its start on
    std::optional<std::uint32_t> max_deliveries{};                  // a message that failed so often is exhausted; 0: no limit
    std::optional<std::chrono::milliseconds> backoff_min{};         // after the first failure; doubles with each, up to backoff_max
    std::optional<std::chrono::milliseconds> backoff_max{};
    std::optional<std::string> dead_letter{};                       // the topic that exhausted messages move to; empty: they are parked
};

/// Where a new subscription starts.
struct start_position {
    enum class kind : std::uint8_t { earliest = 0, latest = 1, sequence = 2 };

    kind from = kind::earliest;
    millrace::sequence at;  // with kind::sequence
};

/// One subscription in one partition; published is the sum of the states below it.
struct subscription_progress {
    sequence start, cursor, high;
    std::uint64_t published = 0;
    std::uint64_t acked = 0, dead = 0, parked = 0, expired = 0, skipped = 0, delayed = 0, ready = 0, leased = 0;
};

struct subscription_description {
    std::string topic{};
    std::string name{};
    std::uint32_t id = 0;
    timestamp created_at;
    subscription_settings settings;
    std::uint32_t consumers = 0;
    std::vector<subscription_progress> partitions;
    std::string inconsistent{};  // why it is in quarantine, and what to do; empty: it is not
    std::string refusal{};
};

/// The result of operations that say nothing but done.
struct done {
    std::string refusal{};
};

// ---- publishing ----------------------------------------------------------------------------------------------------------

struct publish_options {
    durability least = durability::memory;  // refused with durability_unavailable when the broker gives less
};

/// Where the message now is, and how safe.
struct receipt {
    std::uint32_t partition = 0;
    millrace::sequence sequence;
    durability level = durability::memory;
    std::uint64_t batch = 0;  // the number of its batch in the partition, by a named producer; 0: unnamed
    std::string refusal{};
};

// ---- consuming -----------------------------------------------------------------------------------------------------------

/// Where a dead letter comes from and why it died.
struct dead_letter_origin {
    std::string topic;
    std::string subscription;
    std::uint32_t partition = 0;
    millrace::sequence sequence;
    std::uint32_t failures = 0;
    std::string reason;

    bool operator==(const dead_letter_origin&) const = default;
};

/// A message given to a consumer: the session holds its lease until it is handed in, the consumer is closed, or, once it is started, the
/// visibility timeout passes.
struct delivery {
    millrace::message message;
    millrace::sequence sequence;
    timestamp appended_at;  // broker time
    std::uint32_t partition = 0;
    std::uint32_t attempt = 0;  // from 1; 0 on a message that was only looked at (peek)
    std::uint32_t connection = 0;  // which of its client's it came by: by the next, the same attempt of it is another delivery
    std::shared_ptr<const dead_letter_origin> origin{};  // of a dead letter only
};

struct received {
    std::vector<delivery> deliveries;  // in the order they came; at least one without an error
    std::string refusal{};
};

/// What may be on its way to a consumer or in its hands without being acked.
struct subscribe_options {
    std::uint32_t credit_messages = 1000;
    std::uint64_t credit_bytes = 16u << 20;  // of records, at most limits::credit_bytes; the last message may go beyond it
    std::string name{};                        // for people
};

/// Messages from first to last whose ack, nack, reject, release or extension came too late: somebody else had been given them, or the connection by which they
/// came is gone and they come again. After a reconnection also those whose fate is unknown because the answer was lost with the connection.
struct lost_range {
    std::uint32_t partition = 0;
    std::uint32_t attempt = 0;
    sequence first, last;

    bool operator==(const lost_range&) const = default;
};

/// Every ack given so far is durable, and so is everything else that was handed in, but for the ranges in `lost`.
struct settlement {
    std::vector<lost_range> lost;  // of all since the last settlement; at most 1024 ranges are kept
    std::string refusal{};
};

struct peek_options {
    std::uint32_t partition = 0;
    sequence from;
    std::uint32_t messages = 100;    // at most
    std::uint32_t bytes = 1u << 20;  // at most, but at least one message
};

struct peeked {
    sequence start, high;               // first sequence retained, next durable sequence of the partition
    std::vector<delivery> deliveries;   // nothing is leased
    std::string refusal{};
};

// ---- the connection ------------------------------------------------------------------------------------------------------

enum class payload_compression : std::uint8_t { none = 0, lz4 = 1, zstd = 2 };

/// The last batch that the broker has taken from a named producer in one partition.
struct producer_position {
    std::uint32_t topic = 0;  // id
    std::uint32_t partition = 0;
    std::uint64_t batch = 0;

    bool operator==(const producer_position&) const = default;
};

/// What the broker said of itself when the connection opened.
struct broker_description {
    std::string broker{};  // name and version, for people
    std::uint64_t session = 0;
    std::uint64_t epoch = 0;
    durability level = durability::memory;  // what a receipt promises by default
    std::uint32_t producer_epoch = 0;       // with connection_settings::producer: the incarnation's number
    std::vector<producer_position> producer_positions{};  // and what earlier incarnations have published
    std::string refusal{};
};

/// What a connection does when it is lost after the broker had taken it: it connects again, after pauses that double from `pause_min`
/// to `pause_max`, each shortened by up to half at random. Refusals that would repeat themselves (another protocol version, an unknown token, malformed bytes) end it.
struct reconnect_settings {
    bool enabled = true;
    std::chrono::milliseconds pause_min{100};
    std::chrono::milliseconds pause_max{5'000};
    /// Publishes that were sent and not answered are sent again: by a named producer exactly once, else at least once, so that a message may be there
    /// twice. Without it they end with connection_lost, and may or may not be there. Publishes that were not sent yet are sent either way.
    bool resend_unanswered = true;
};

struct connection_settings {
    std::string server = "127.0.0.1:7070";  // HOST:PORT, [V6]:PORT
    std::string token{};       // who this is to a broker that asks. One that does not know it ends the connection for good: unauthorized
    std::string token_file{};  // read when it connects, instead of `token`
    std::string name{};  // for people
    /// A named producer: what this connection sends again when it was lost, or the broker restarted, is stored once. A name belongs to one connection
    /// at a time. Who connects under it fences who did before, whose publishes all end with producer_fenced from then on, also after a reconnection;
    /// connecting anew takes the name back. A refused publish refuses those behind it in its partition with batch_gap, so that order is kept.
    std::string producer{};
    std::chrono::milliseconds connect_timeout{5'000};   // resolve, connect and hello together
    std::chrono::milliseconds request_timeout{30'000};  // of every request from when it is sent; a batch that credit holds back ends after as long unsent
    std::chrono::milliseconds linger{0};  // how long a batch that is not full may wait for more although the connection is idle
    payload_compression compression = payload_compression::none;  // of payloads above 512 bytes
    reconnect_settings reconnect{};
};

}  // namespace millrace::client
