// Private: what leads to the messages is kept twice. A flipped bit in a payload costs that payload; one in a table or in the manifest would cost what the
// table leads to, or the whole store. So every table and every manifest has a copy beside it, written and synced with it and gone with it:
//
//   000012.sst  000012.sst.copy      MANIFEST-000005  MANIFEST-000005.copy      CURRENT  CURRENT.copy
//
// Payload is in blob files and in the log, once; tables hold rows, and references of 60 bytes to entries. RocksDB knows nothing of the copies.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <functional>
#include <memory>
#include <string>

#include "millrace/error.hpp"

namespace millrace::storage {

/// `files`, which from now on writes, links and deletes tables and manifests together with their copies.
std::shared_ptr<rocksdb::FileSystem> keeping_copies(std::shared_ptr<rocksdb::FileSystem> files);

/// Puts the copy in the place of a manifest that is sound only up to less than its copy is, and of CURRENT when it is missing or names no manifest or an older
/// one; cuts what stands behind the sound part of a manifest and in no copy, as a cut of the power may leave it; tells each. All are safe, and lose nothing:
/// what a manifest names was synced before, and the manifest itself in both files before it counts. (RocksDB takes a record whose length is damaged for a torn
/// tail, and would open without all that it and the records behind it name.) REQUIRES that the store is locked. Errors: storage_failure, corruption (neither
/// is sound).
error mend_manifest(rocksdb::FileSystem& files, const std::string& directory, const std::function<void(const std::string&)>& tell);

/// When CURRENT and its copy name different manifests that are there, as a flipped bit or a cut of the power between the two may leave them, and that of CURRENT
/// does not open: puts the copy in its place. Whether there was another. REQUIRES that the store is locked.
bool use_other_manifest(rocksdb::FileSystem& files, const std::string& directory, const std::function<void(const std::string&)>& tell);

/// What became of a damaged table.
enum class table_state { sound, mended, lost };

/// Reads the table, by its file's name, and puts its copy in its place if it is damaged; keeps that as ….damaged. Tells what was mended, and what has no sound
/// copy and stays as it is. `env` is on `files`. REQUIRES that no database is open on it, and that the store is locked or to be opened again.
table_state mend_table(rocksdb::FileSystem& files, rocksdb::Env& env, const std::string& directory, const std::string& name,
                       const std::function<void(const std::string&)>& tell);

/// So with every table: RocksDB may not name the one that is damaged. How many were mended.
std::size_t mend_tables(rocksdb::FileSystem& files, rocksdb::Env& env, const std::string& directory, const std::function<void(const std::string&)>& tell);

/// So with every table whose damage RocksDB would not notice, for the bits that are turned over say that it has no checksums. Reads one byte of each.
void mend_unchecked_tables(rocksdb::FileSystem& files, rocksdb::Env& env, const std::string& directory, const std::function<void(const std::string&)>& tell);

/// Whether a damaged table has a sound copy; reads both, also beside an open database.
bool can_mend(rocksdb::Env& env, const std::string& directory, const std::string& name);

/// "000012.sst", the first table that RocksDB's words name; empty when they name none.
std::string table_named_in(const std::string& words);

/// Deletes copies of what is not there any more: a cut of the power may have come between the two.
void drop_lone_copies(rocksdb::FileSystem& files, const std::string& directory);

}  // namespace millrace::storage
