#include "broker/local_file_system.hpp"

namespace millrace {

std::shared_ptr<rocksdb::FileSystem> local_file_system() { return nullptr; }

}  // namespace millrace
