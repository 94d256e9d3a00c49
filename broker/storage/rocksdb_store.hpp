// The `rocksdb:` engine: one database for all shards, one WAL, one fdatasync per group of commits. FORMAT of keys: rocksdb_keys in README
// of this folder. RocksDB is named in rocksdb_store.cpp alone (and rocksdb_crc32c.cpp, which speeds its checksums up).
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

#include "broker/storage/store.hpp"

namespace millrace::storage {

struct rocksdb_options {
    std::filesystem::path directory;         // made if it is not there (its parent must be)
    durability level = durability::disk;     // disk: fdatasync before done; buffered: written, not synced; memory: no WAL sync, no promise
    std::size_t memtable_bytes = 96u << 20;  // of which two are kept
    std::size_t block_cache_bytes = 64u << 20;
};

/// Errors: store_in_use (another process has it open), storage_failure (not a directory, not writable, disk full, no database),
/// corruption.
result<std::unique_ptr<store>> open_rocksdb_store(const rocksdb_options& options);

}  // namespace millrace::storage
