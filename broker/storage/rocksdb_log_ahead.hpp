// Private: the log's file is filled with zeros a little ahead of what is written, while syncs are small.
//
//   | batch | batch | batch | 0 0 0 0 0 0 0 0 0 |
//                           ▲ next              ▲ the file's size, on disk
//
// A sync of what was appended also makes the file's new size durable, which is a write of its own; what is written over zeros that are there costs its
// data alone. 4 KiB and fdatasync on ext4: 0.26 ms appended, 0.17 over zeros. Large commits are appended as they come: they would
// be written twice, and the bandwidth is what they need.
//
// After a crash zeros stand at the end of the log. RocksDB passes over them, and so does rocksdb_log_scan.
#pragma once

#include <rocksdb/file_system.h>

#include <functional>
#include <memory>

namespace millrace::storage {

/// `files`, whose logs are filled ahead where they take PositionedAppend. `failed` is called, from the writing thread, when a write to a log has failed and
/// before RocksDB hears of it.
std::shared_ptr<rocksdb::FileSystem> filling_logs_ahead(std::shared_ptr<rocksdb::FileSystem> files, std::function<void()> failed);

}  // namespace millrace::storage
