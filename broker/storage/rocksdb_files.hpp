// Private: what is done with whole files of a store behind RocksDB's back, before a database is open on them.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

namespace millrace::storage {

/// Puts what `write` writes in the place of the file at `path`, at once and durable: by a new file that takes its name, which every file system can.
rocksdb::IOStatus replace_file(rocksdb::FileSystem& files, const std::string& path, const std::function<rocksdb::IOStatus(rocksdb::FSWritableFile&)>& write);

/// Appends the first `bytes_max` bytes of the file at `path`, or all there are.
rocksdb::IOStatus append_file(rocksdb::FileSystem& files, const std::string& path, rocksdb::FSWritableFile& to,
                              std::uint64_t bytes_max = std::numeric_limits<std::uint64_t>::max());

/// Reads on until `buffer` holds `size` bytes or the file ends, which only a `filled` below `size` tells.
rocksdb::IOStatus fill(rocksdb::FSSequentialFile& file, char* buffer, std::size_t size, std::size_t& filled);

/// Makes the names in `directory` durable.
rocksdb::IOStatus sync_names(rocksdb::FileSystem& files, const std::string& directory);

}  // namespace millrace::storage
