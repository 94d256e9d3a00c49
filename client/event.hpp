// What comes out of the connection state machine, as values.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "millrace/client_types.hpp"
#include "millrace/error.hpp"

namespace millrace::client {

/// Time as the machine is told it. Nothing here reads a clock.
using moment = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

inline constexpr moment never = moment::max();

/// Names an operation of the caller. The caller chooses it; it comes back in exactly one event.
enum class ticket : std::uint64_t {};

/// For requests that nobody waits for: no event comes.
inline constexpr ticket no_ticket{~std::uint64_t{0}};

/// Names a consumer of one connection.
enum class consumer_number : std::uint32_t {};

/// The answer to a subscribe.
struct subscribed {
    std::uint32_t topic = 0;
    std::uint32_t subscription = 0;
    std::chrono::milliseconds visibility_timeout{0};
    std::vector<lost_range> lost;  // of the leases that were presented
    std::string refusal;
};

using answer = std::variant<done, topic_description, name_list, subscription_description, subscribed, settlement, peeked>;

/// One request is over: `content` holds its answer unless `refused` is set.
struct completed {
    ticket operation{};
    error refused;
    answer content;
};

/// The publishes of one batch are over: operations[i] became `first + i` of the partition, or all were refused.
struct published {
    std::vector<ticket> operations;
    std::uint32_t partition = 0;
    sequence first;
    durability level = durability::memory;
    error refused;
    std::uint64_t batch = 0;  // its number, by a named producer
};

/// Messages for a consumer, verified.
struct delivered {
    consumer_number consumer{};
    std::vector<delivery> deliveries;
};

/// The connection is lost and comes back: what was delivered and not started is not this consumer's any more, and may be delivered again.
struct consumer_interrupted {
    consumer_number consumer{};
};

/// Started messages that somebody else was given, or that were settled, while the connection was away.
struct leases_lost {
    consumer_number consumer{};
    std::vector<lost_range> ranges;
};

/// The broker ended a consumer; nothing more comes for it.
struct consumer_ended {
    consumer_number consumer{};
    error reason;
};

/// The broker took the hello: requests may be made. Comes again after each reconnection.
struct welcomed {
    broker_description broker;
};

/// The connection is over, every operation has had its event, and the transport is to be closed. The last event of a machine.
/// `reason` is empty after a graceful close.
struct ended {
    error reason;
};

using event = std::variant<completed, published, delivered, consumer_interrupted, leases_lost, consumer_ended, welcomed, ended>;

}  // namespace millrace::client
