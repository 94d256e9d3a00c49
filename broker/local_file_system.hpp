// Where millraced keeps its store. A program of its own for the tests links another definition, which forgets what was not synced.
#pragma once

#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace millrace {

/// Null: the one of the operating system.
std::shared_ptr<rocksdb::FileSystem> local_file_system();

}  // namespace millrace
