// Private: reads entries and rows, and says of what cannot be read how far that goes. README.md of this folder, "What cannot be read".
//
// Threads: any.
#pragma once

#include <rocksdb/db.h>

#include <cstdint>
#include <mutex>
#include <set>
#include <vector>

#include "broker/storage/store.hpp"

namespace millrace::storage {

class rocksdb_reader {
public:
    /// `database` and its families outlive the reader.
    rocksdb_reader(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* rows, rocksdb::ColumnFamilyHandle* entries)
        : database_(database), rows_(rows), entries_(entries) {}

    /// As store::read and store::scan.
    result<std::vector<stored_entry>> read(core::partition_id partition, sequence from, std::size_t max_bytes);
    result<std::vector<core::row>> scan(const core::row_range& range, std::size_t limit);

    /// The group was written. REQUIRES to be called before it is answered.
    void note(const std::vector<core::mutation>& group);

private:
    bool stands(core::partition_id partition, sequence last);
    result<std::vector<stored_entry>> read_page(core::partition_id partition, sequence from, std::size_t max_bytes, bool sees_range_tombstones);
    result<std::vector<stored_entry>> read_damaged(core::partition_id partition, sequence from);
    bool read_next(core::partition_id partition, sequence from, std::vector<stored_entry>& found);

    rocksdb::DB& database_;
    rocksdb::ColumnFamilyHandle* rows_;
    rocksdb::ColumnFamilyHandle* entries_;

    std::mutex mutex_;
    std::set<core::partition_id> standing_;  // known not to be dropped
    std::uint64_t drops_ = 0;                // so far: an answer that was asked for before the last one says nothing
};

}  // namespace millrace::storage
