// Private: looks at a store's directory before RocksDB does, to say what is wrong with it in words that help.
#pragma once

#include <rocksdb/file_system.h>

#include <string>

#include "millrace/error.hpp"

namespace millrace::storage {

/// The directory is there (made if its parent is), and can be written. `direct_io`: whether it takes O_DIRECT, as tmpfs does not.
error prepare_directory(rocksdb::FileSystem& files, const std::string& directory, bool& direct_io);

/// Whether somebody, in this process or another, has the database of this directory open.
bool is_locked(rocksdb::FileSystem& files, const std::string& directory);

}  // namespace millrace::storage
