// What a simulated broker's store stands on: an engine, and what becomes of it when the broker ends. In memory for the simulator; RocksDB on a disk that
// loses power in tests/power.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "broker/storage/store.hpp"
#include "tests/sim/random.hpp"

namespace millrace::sim {

class machine {
public:
    struct group {
        core::shard_id shard{};
        core::fencing_epoch epoch{};
        std::vector<core::mutation> mutations;
    };

    virtual ~machine() = default;

    virtual durability level() const = 0;

    /// To read from. Without power, reads fail.
    virtual storage::store& engine() = 0;

    /// Starts whatever has ended, until so many shards are open at once; their epochs.
    virtual std::vector<core::fencing_epoch> open(std::uint32_t shards) = 0;

    /// Commits the groups side by side and waits; their outcomes, in order.
    virtual std::vector<error> commit(std::vector<group> groups) = 0;

    /// The broker has ended, while `under_way` had been handed over and nobody was told.
    virtual void crash(std::vector<group> under_way) = 0;

    /// Without it the broker has ended as well, and is to be told so.
    virtual bool has_power() const { return true; }

    /// From now on nothing goes wrong by itself.
    virtual void end_faults() {}
};

/// The memory engine: a crash keeps of what was under way whole groups from the front, or nothing.
std::unique_ptr<machine> make_memory_machine(random_source& random);

}  // namespace millrace::sim
