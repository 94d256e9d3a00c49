// Private: gives the disk space of freed entries back. Drawn in README.md, "the life of an entry".
//
// A freed entry is a tombstone until compaction brings it together with the entry's reference; a blob file goes when the last reference into it
// has gone. Under load RocksDB compacts often enough by itself; this thread does it for what was freed before the load ended, and moves the
// few live entries out of blob files that are mostly garbage, and sees to it that files which nobody needs any more go. When the disk is scarce it does so
// each second, load or not, and writes the memtables out so that logs go. It also looks after the ballast.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "broker/core/mutation.hpp"
#include "broker/storage/rocksdb_disk.hpp"

namespace millrace::storage {

class rocksdb_reclaim {
public:
    struct families {
        rocksdb::ColumnFamilyHandle* own;
        rocksdb::ColumnFamilyHandle* rows;
        rocksdb::ColumnFamilyHandle* entries;
    };

    /// `on_quiet` is called on its thread a second after the last commit.
    rocksdb_reclaim(rocksdb::DB& database, const families& of, rocksdb_disk& disk, std::function<void()> on_quiet);

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
    std::uint64_t unwritten_bytes() const;
    void look_for_quiet();
    std::optional<freed_ranges> take_what_is_due(bool scarce);
    void write_out();
    void compact(const freed_ranges& freed);
    bool collect_garbage(bool scarce);
    void remove_obsolete_files();
    bool compact_range(const rocksdb::CompactRangeOptions& options, const rocksdb::Slice* begin, const rocksdb::Slice* end);
    bool see_through(const std::function<rocksdb::Status()>& work);
    bool waits_for_a_flush() const;
    void ask_for_a_flush();

    rocksdb::DB& database_;
    const families families_;
    rocksdb_disk& disk_;
    const std::function<void()> on_quiet_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> groups_{0};  // noted so far: unchanged for a while means idle

    // Of its thread alone.
    std::uint64_t seen_groups_ = 0;
    std::uint64_t written_groups_ = 0;  // when all was last written out
    int quiet_looks_ = 0;
    int waited_looks_ = 0;

    std::mutex mutex_;
    std::condition_variable to_run_;
    freed_ranges freed_;
    bool everything_ = false;  // more partitions than are worth ranges of their own, or freed before this process

    std::thread thread_;
};

}  // namespace millrace::storage
