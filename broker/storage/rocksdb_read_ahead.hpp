// Private: what is read in order is read ahead into the page cache, and leaves it again: by as much as helps, and no more.
//
// The kernel would do it by what the machine is set to. 8 MiB ahead, and what was read is out of the processor's cache again before anybody wants it, while the
// log's syncs wait behind it at the disk. And a backlog that was read once stays: whatever else the machine has in its page cache goes for it, and a virtual
// machine pays for each page that it had not touched before.
#pragma once

#include <rocksdb/file_system.h>

#include <memory>

namespace millrace::storage {

/// `files`, whose blob files are read ahead of up to four readers each who go through them in order, by 512 KiB. What these have passed stays for the next
/// 256 MiB that are read, of all files together. The files are to be opened for random reads, so that the kernel does not read ahead as well.
std::shared_ptr<rocksdb::FileSystem> reading_ahead(std::shared_ptr<rocksdb::FileSystem> files);

}  // namespace millrace::storage
