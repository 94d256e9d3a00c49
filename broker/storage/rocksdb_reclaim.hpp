// Private: gives the disk space of freed entries back. Drawn in README.md, "the life of an entry".
//
// A freed entry is a tombstone until compaction brings it together with the entry's reference; a blob file goes when the last reference into it
// has gone. Under load RocksDB compacts often enough by itself; this thread does it for what was freed before the load ended, and moves the
// few live entries out of blob files that are mostly garbage.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "broker/core/mutation.hpp"

namespace millrace::storage {

class rocksdb_reclaim {
public:
    /// `on_quiet` is called on its thread a second after the last commit.
    rocksdb_reclaim(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* entries, std::function<void()> on_quiet);

    /// Gives a pass under way up, and waits for it.
    ~rocksdb_reclaim();

    rocksdb_reclaim(const rocksdb_reclaim&) = delete;
    rocksdb_reclaim& operator=(const rocksdb_reclaim&) = delete;

    /// A group that was written. Thread-safe, and cheap on groups that free nothing.
    void note(const std::vector<core::mutation>& group);

private:
    struct freed_range {
        sequence first;
        sequence last;
    };
    using freed_ranges = std::map<core::partition_id, freed_range>;

    void widen(core::partition_id partition, sequence first, sequence last);
    void run();
    void compact(const freed_ranges& freed);
    void collect_garbage();
    bool compact_range(const rocksdb::CompactRangeOptions& options, const rocksdb::Slice* begin, const rocksdb::Slice* end);

    rocksdb::DB& database_;
    rocksdb::ColumnFamilyHandle* const entries_;
    const std::function<void()> on_quiet_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> groups_{0};  // noted so far: unchanged for a while means idle

    std::mutex mutex_;
    std::condition_variable to_run_;
    freed_ranges freed_;
    bool everything_ = false;  // more partitions than are worth ranges of their own, or freed before this process

    std::thread thread_;
};

}  // namespace millrace::storage
