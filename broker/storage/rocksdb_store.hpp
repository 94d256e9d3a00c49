// The `rocksdb:` engine: one database for all shards, one WAL, one fdatasync per group of commits. README.md of this folder draws keys, commit
// loop and the life of an entry. RocksDB's headers stay in this folder's rocksdb_*.cpp files and the private rocksdb_database.hpp and
// rocksdb_tuning.hpp.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "broker/storage/store.hpp"

namespace rocksdb {
class FileSystem;
}

namespace millrace::storage {

struct rocksdb_options {
    std::filesystem::path directory;         // made if it is not there (its parent must be)
    durability level = durability::disk;     // disk: fdatasync before done; buffered: written, not synced; memory: no WAL sync, no promise
    std::size_t memtable_bytes = 32u << 20;  // of which six are kept; at most 1/64 of the room on the disk
    std::size_t block_cache_bytes = 64u << 20;
    std::uint64_t log_bytes = 128u << 20;      // to replay at most; at most 1/16 of the room
    std::uint64_t ballast_bytes = 192u << 20;  // kept to be given up on a full disk; at most 3/32 of the room
    std::optional<std::uint64_t> disk_reserve;  // disk_space::reserve; none: all memtables and 1 GiB, at most 1/8 of the room
    std::shared_ptr<rocksdb::FileSystem> file_system;  // null: the local one; tests bring faults, a distributed one will come here
    bool examine = false;                    // only a store that is there; nothing is compacted behind the reader's back
    bool salvage = false;                    // open a store whose log is damaged, without what cannot be read
    std::function<void(const std::string&)> tell = [](const std::string&) {};  // is told, line by line and from any thread, what was mended, and what salvage and a full disk gave up
};

/// What an engine with these options holds at most.
struct rocksdb_memory {
    std::uint64_t entry_memtables = 0, entry_memtable_bytes = 0;  // so many, of so many bytes each
    std::uint64_t other_memtable_bytes = 0;                       // of rows, and of the engine's own keys, together
    std::uint64_t log_buffer_bytes = 0;                           // of three, which double as they grow: what is on its way to the disk, what waits for it, and that in the next log
    std::uint64_t log_bytes = 0;                                  // on disk: to replay at the next open
};
rocksdb_memory memory_of(const rocksdb_options& options);

/// Errors: store_in_use (another process has it open), storage_failure (not a directory, not writable, another format), disk_full, corruption (also
/// of a log, where what had been answered cannot be read; a tail that was torn while it was written is cut).
///
/// After a commit failed (outcome_unknown), the first open(shard) closes the database and recovers it from its log before it
/// admits the shard: nothing is retried on top of what failed. It may be tried again while it is refused.
result<std::unique_ptr<store>> open_rocksdb_store(const rocksdb_options& options);

/// Whether RocksDB computes its checksums with proto's crc32c() and gets known values from it. Debian's library has no hardware CRC-32C; the
/// executable's definition preempts it. main refuses to start without: nothing would break, but everything would be slower by a third.
bool rocksdb_crc32c_is_in_effect();

}  // namespace millrace::storage
