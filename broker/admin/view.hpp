// What admin HTTP may see of a broker: names and numbers, read between two steps of a core. It changes nothing. Asked on the broker's own thread.
//
// What it shows is what the broker holds in memory now, so that it can be looked at also while the disk stands still: a topic that was created a
// moment ago may be listed before its creation is durable.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/core/shard.hpp"
#include "broker/driver/figures.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::admin {

/// The broker as a whole, in words and numbers that cost little to gather.
struct broker_state {
    std::string version;
    std::string store;  // as --store names it
    durability level = durability::memory;
    core::fencing_epoch epoch{};  // of the first shard
    std::uint32_t shards = 1;
    timestamp started_at;
    timestamp now;
    error not_ready;  // why publishing is not possible; no error: it is

    std::uint64_t sessions = 0;
    std::uint64_t sessions_opened = 0;
    std::map<errc, std::uint64_t> sessions_closed;  // by the broker, by reason
    std::uint64_t reopened = 0;                     // how often the store was opened again
    driver::figures counted;

    std::optional<std::uint64_t> disk_free_bytes, disk_reserve_bytes;  // of the store's disk; below the reserve publishes are refused

    std::uint64_t resident_bytes = 0;
    std::chrono::microseconds processor_time{};
};

struct session_state {
    std::uint64_t id = 0;
    std::string client;   // as it names itself: any bytes
    std::string address;  // HOST:PORT
    timestamp since;
};

class view {
public:
    virtual ~view() = default;

    /// No error: publishing is possible. Else why it is not.
    virtual error not_ready() const = 0;

    virtual broker_state state() const = 0;

    /// Each topic is one of theirs; the names of all are known to each.
    virtual std::uint32_t shards() const = 0;

    /// Waits until `look` has seen that shard, between two of its steps. False while the store is being opened again: there was nothing to see.
    virtual bool see(std::uint32_t shard, const std::function<void(const core::shard&)>& look) const = 0;

    /// At most `limit` sessions, in the order of their ids, after `after`.
    virtual std::vector<session_state> sessions(std::uint64_t after, std::size_t limit) const = 0;
};

}  // namespace millrace::admin
