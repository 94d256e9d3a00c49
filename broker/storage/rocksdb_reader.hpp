// Private: reads entries and rows, and says of what cannot be read how far that goes. README.md of this folder, "What cannot be read".
//
// Threads: any.
#pragma once

#include <rocksdb/db.h>

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

private:
    result<std::vector<stored_entry>> read_page(core::partition_id partition, sequence from, std::size_t max_bytes, bool sees_range_tombstones);
    result<std::vector<stored_entry>> read_damaged(core::partition_id partition, sequence from);
    bool read_next(core::partition_id partition, sequence from, std::vector<stored_entry>& found);

    rocksdb::DB& database_;
    rocksdb::ColumnFamilyHandle* rows_;
    rocksdb::ColumnFamilyHandle* entries_;
};

}  // namespace millrace::storage
