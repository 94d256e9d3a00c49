// The numbers that name things inside a broker. Ids are given by the catalog and never reused.
#pragma once

#include <compare>
#include <cstdint>

namespace millrace::core {

enum class topic_id : std::uint32_t {};
enum class subscription_id : std::uint32_t {};
enum class producer_id : std::uint64_t {};     // of a named producer, from 1
enum class shard_id : std::uint32_t {};
enum class session_id : std::uint64_t {};
enum class consumer_id : std::uint32_t {};     // chosen by the client, unique in its session
enum class request_id : std::uint64_t {};      // chosen by the client, repeated in the answer
enum class fencing_epoch : std::uint64_t {};   // of a shard's writer: a larger one excludes smaller ones
enum class group_number : std::uint64_t {};    // of a group commit, from 1, in order

struct partition_id {
    topic_id topic{};
    std::uint32_t index = 0;

    auto operator<=>(const partition_id&) const = default;
};

/// Which of a broker's shards one is. A topic belongs to one shard, with all its partitions and subscriptions, so that order, fairness and limits need no
/// agreement between shards. Nothing that is stored says to which: their number may change at any restart.
struct shard_place {
    std::uint32_t index = 0;
    std::uint32_t count = 1;

    std::uint32_t of(topic_id topic) const { return static_cast<std::uint32_t>(topic) % count; }
    bool holds(topic_id topic) const { return of(topic) == index; }
};

}  // namespace millrace::core
