// millraced --explain-memory: what the broker holds in memory at most, and by which setting.
#pragma once

#include <string>

#include "broker/server/broker.hpp"
#include "broker/storage/rocksdb_store.hpp"

namespace millrace {

/// A table of MiB with the bound of each part, and their sum. What messages on their way need comes on top: credit bounds it per session, and the heap
/// keeps up to 64 MiB of it for the next ones.
std::string explain_memory(const storage::rocksdb_options& store, const server::broker_settings& broker);

}  // namespace millrace
