// millraced-forgetful: the broker on a file system on which kill -9 is a power cut, as it loses what no sync covered.
#include "broker/local_file_system.hpp"
#include "tests/storage/forgetful_file_system.hpp"

namespace millrace {

std::shared_ptr<rocksdb::FileSystem> local_file_system() { return std::make_shared<storage::forgetful_file_system>(); }

}  // namespace millrace
