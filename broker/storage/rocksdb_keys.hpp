// Keys of the rocksdb: engine, as README.md of this folder draws them. Big-endian, so that byte order is number order.
#pragma once

#include <string>
#include <string_view>

#include "broker/core/identity.hpp"
#include "millrace/message.hpp"

namespace millrace::storage {

inline constexpr std::string_view format_key = "format";
inline constexpr std::string_view format_version = "1";

/// topic u32, partition u32, last sequence u64.
std::string entry_key(core::partition_id partition, sequence last);

/// Just behind the last key the partition can have.
std::string entry_keys_end(core::partition_id partition);

/// The last sequence in an entry's key; false when it is no such key.
bool parse_entry_key(std::string_view key, sequence& last);

std::string epoch_key(core::shard_id shard);
std::string epoch_value(core::fencing_epoch epoch);
bool parse_epoch_value(std::string_view value, core::fencing_epoch& epoch);

}  // namespace millrace::storage
