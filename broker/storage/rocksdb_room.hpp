// Private: a write that finds the disk full gives the ballast up and is repeated. rocksdb_disk looks at the disk each second; somebody else can fill it faster.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace millrace::storage {

/// `files`, on which a write to a file in `directory`, a new one or one that is reused, that fails for want of room is made once more when `make_room(bytes)`
/// has said that there is enough now. What of it was written before is written over. `make_room` may be called from all threads at once.
std::shared_ptr<rocksdb::FileSystem> making_room(std::shared_ptr<rocksdb::FileSystem> files, std::string directory, std::function<bool(std::uint64_t)> make_room);

}  // namespace millrace::storage
