// What people set on topics and subscriptions, with defaults, and the rules for names.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

using duration = std::chrono::milliseconds;

/// What a publish meets at a limit on unsettled messages.
enum class limit_policy : std::uint8_t {
    refuse = 0,  // backlog_full
    expire = 1,  // the oldest messages that nobody holds are expired to make room
};

/// Ages and bytes are per partition. Zero is no limit, and for keep: nothing is kept.
struct topic_settings {
    std::uint32_t partitions = 1;
    duration keep_age{0};           // settled messages stay for replay until they are older
    std::uint64_t keep_bytes = 0;   // settled messages stay for replay as long as they fit
    duration max_age{0};            // an unsettled message may be so old
    std::uint64_t max_backlog = 0;  // unsettled messages may have so many bytes
    limit_policy on_limit = limit_policy::refuse;

    bool operator==(const topic_settings&) const = default;
};

/// Absent values take the default on create and stay as they are on update.
struct topic_changes {
    std::optional<std::uint32_t> partitions;
    std::optional<duration> keep_age;
    std::optional<std::uint64_t> keep_bytes;
    std::optional<duration> max_age;
    std::optional<std::uint64_t> max_backlog;
    std::optional<limit_policy> on_limit;

    bool operator==(const topic_changes&) const = default;
};

/// `before` with `changes`. Errors: invalid_argument (no or too many partitions, fewer than before, an absurd age).
result<topic_settings> apply(const topic_changes& changes, topic_settings before, bool is_new);

struct subscription_settings {
    duration visibility_timeout{30'000};  // the length of a started lease
    std::uint32_t max_deliveries = 5;     // a message that failed so often is exhausted: dead or parked; 0 is no limit
    duration backoff_min{1'000};          // after the first failure; doubles with each
    duration backoff_max{300'000};
    std::string dead_letter;              // the topic that exhausted messages move to; empty: they are parked

    duration backoff_after(std::uint32_t failures) const;
    bool operator==(const subscription_settings&) const = default;
};

struct subscription_changes {
    std::optional<duration> visibility_timeout;
    std::optional<std::uint32_t> max_deliveries;
    std::optional<duration> backoff_min;
    std::optional<duration> backoff_max;
    std::optional<std::string> dead_letter;

    bool operator==(const subscription_changes&) const = default;
};

result<subscription_settings> apply(const subscription_changes& changes, subscription_settings before);

/// Where a new subscription starts in every partition.
struct start_from {
    enum class kind : std::uint8_t { earliest, latest, sequence } where = kind::earliest;
    sequence at;

    bool operator==(const start_from&) const = default;
};

/// 1 to 255 characters of A-Z a-z 0-9 . _ -; `what` is "topic" or the like. Errors: invalid_name.
error check_name(std::string_view what, std::string_view name);

}  // namespace millrace::core
