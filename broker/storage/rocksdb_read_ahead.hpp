// Private: what is read in order is read ahead into the page cache, by as much as helps and no more.
//
// The kernel would do it by what the machine is set to, which may be 8 MiB: what was read is out of the processor's cache again before anybody wants it, and the
// log's syncs wait behind it at the disk.
#pragma once

#include <rocksdb/file_system.h>

#include <memory>

namespace millrace::storage {

/// `files`, whose blob files are read ahead of up to four readers each who go through them in order. They are to be opened for random reads, so that the kernel
/// does not do it as well.
std::shared_ptr<rocksdb::FileSystem> reading_ahead(std::shared_ptr<rocksdb::FileSystem> files);

}  // namespace millrace::storage
