// From a store to a shard that runs: at start, and again after a commit failed.
#pragma once

#include <vector>

#include "broker/core/shard.hpp"
#include "broker/storage/store.hpp"
#include "millrace/error.hpp"

namespace millrace::driver {

struct opened_shard {
    core::fencing_epoch epoch{};
    core::shard shard;
};

/// Opens `shard` under a new epoch and recovers it from everything a core knows at start, read in pages. The level is the store's.
/// Errors: those of store::open and store::scan, and corruption, naming the row. Takes as long as the disk does.
result<opened_shard> open_shard(storage::store& store, core::shard_id shard, core::shard_settings settings);

/// All shards of a broker that has so many.
result<std::vector<opened_shard>> open_shards(storage::store& store, std::uint32_t count, const core::shard_settings& settings);

}  // namespace millrace::driver
