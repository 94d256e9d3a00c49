// Private: a log as RocksDB reads it, without its salt, and without what a dead log left behind its end.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>

namespace millrace::storage {

/// The records of log `number` in `file` as far as they hold, and then the end of the file. So RocksDB never sees a bad record; what stands behind
/// one has been judged, and cut where it must be, by rocksdb_log_scan.
std::unique_ptr<rocksdb::FSSequentialFile> view_of_log(std::unique_ptr<rocksdb::FSSequentialFile> file, std::uint64_t number);

}  // namespace millrace::storage
