// A shard in numbers, as those who look on see it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/identity.hpp"
#include "broker/core/row.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

/// A subscription, its partitions summed.
struct subscription_figures {
    std::string name;
    settled_counts settled;
    std::uint64_t ready = 0, leased = 0, delayed = 0;
    std::uint64_t messages = 0;     // that came since it was created
    std::uint64_t unaccounted = 0;  // of them, those that are in none of its states, or in two: 0, or the broker has lost count
    std::uint32_t consumers = 0;
    std::uint64_t deliveries = 0, redeliveries = 0;  // messages, since the shard was opened
    bool has_unsettled = false;
    std::optional<timestamp> oldest_start;  // when the handler began that has been at its message longest; none: none is at one
    std::optional<timestamp> oldest;        // when its oldest unsettled message came; none: there is none, or its entry is not in memory
};

/// A topic, its partitions summed.
struct topic_figures {
    topic_id id{};
    std::string name;
    std::uint32_t partitions = 0;
    std::uint64_t high = 0;           // messages that were ever durable
    std::uint64_t messages = 0;       // from start to high
    std::uint64_t bytes = 0;          // stored
    std::uint64_t backlog_bytes = 0;  // of them, unsettled
    std::vector<subscription_figures> subscriptions;
};

/// One consumer of a session.
struct consumer_figures {
    consumer_id id{};
    std::string name, topic, subscription;
    std::uint64_t credit_messages = 0, credit_bytes = 0;
    std::uint64_t leased = 0;
};

}  // namespace millrace::core
