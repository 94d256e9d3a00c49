// Private: one open RocksDB with the engine's column families. Knows keys, batches and errors; nothing of shards' order or fencing.
//
// Threads: write() from two at once and beside everything; the rest from any.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "broker/storage/commit_loop.hpp"
#include "broker/storage/rocksdb_disk.hpp"
#include "broker/storage/rocksdb_log_files.hpp"
#include "broker/storage/rocksdb_log_scan.hpp"
#include "broker/storage/rocksdb_reader.hpp"
#include "broker/storage/rocksdb_reclaim.hpp"
#include "broker/storage/rocksdb_store.hpp"

namespace millrace::storage {

class rocksdb_database {
public:
    /// `disk` is under options.directory, and outlives the database.
    static result<std::unique_ptr<rocksdb_database>> open(const rocksdb_options& options, rocksdb_disk& disk);
    ~rocksdb_database();

    rocksdb_database(const rocksdb_database&) = delete;
    rocksdb_database& operator=(const rocksdb_database&) = delete;

    /// The groups without a verdict, as one batch; not synced.
    error write(std::span<const pending_commit> groups);
    error sync();

    /// A larger epoch than any before, synced. Errors: sync_failed, and those of a write.
    result<core::fencing_epoch> raise_epoch(core::shard_id shard);

    rocksdb_reader& reader() { return *reader_; }
    error checkpoint(const std::filesystem::path& dir);

private:
    rocksdb_database() = default;
    error open_families(const rocksdb_options& options, bool direct_io);
    error check_format();
    error begin_marks();
    synced_mark mark() const;
    void leave_mark();
    error put(const std::string& key, const std::string& value, const std::string& doing);
    std::unique_ptr<rocksdb::WriteBatch> take_batch(std::size_t bytes);
    void give_back(std::unique_ptr<rocksdb::WriteBatch> batch, std::size_t bytes);

    std::shared_ptr<log_files> logs_;  // on files with their copies, on files that make room
    std::unique_ptr<rocksdb::Env> env_;
    std::unique_ptr<rocksdb::DB> database_;
    rocksdb::ColumnFamilyHandle* own_ = nullptr;
    rocksdb::ColumnFamilyHandle* rows_ = nullptr;
    rocksdb::ColumnFamilyHandle* entries_ = nullptr;
    std::unique_ptr<rocksdb_reader> reader_;

    // What each batch says of those before it; rocksdb_log_scan.hpp says why.
    std::uint64_t incarnation_ = 0;
    std::uint64_t first_log_ = 0;
    std::atomic<std::uint64_t> synced_sequence_{0};
    std::atomic<std::uint64_t> marked_sequence_{0};  // the largest that a batch has told
    std::atomic<bool> failed_{false};                // nothing more is written of its own accord

    std::mutex spare_mutex_;
    std::vector<std::unique_ptr<rocksdb::WriteBatch>> spare_;
    std::unique_ptr<rocksdb_reclaim> reclaim_;  // last: its thread ends before what it calls
};

}  // namespace millrace::storage
