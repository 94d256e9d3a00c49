// Private: RocksDB's options, each with the measurement it follows. The table in README.md says the same in words.
#pragma once

#include <rocksdb/options.h>

#include "broker/storage/rocksdb_store.hpp"

namespace millrace::storage {

// Six small ones cost the same memory as two large, and a writer waits for the flush of 64 MiB instead of 96: p99 of an answer 95 → 25 ms.
inline constexpr int memtables_kept = 6;

rocksdb::DBOptions tuned_database(const rocksdb_options& options, rocksdb::Env* env, bool direct_io);
rocksdb::ColumnFamilyOptions tuned_default(const rocksdb_options& options);
rocksdb::ColumnFamilyOptions tuned_rows(const rocksdb_options& options, const std::shared_ptr<rocksdb::Cache>& cache);
rocksdb::ColumnFamilyOptions tuned_entries(const rocksdb_options& options, const std::shared_ptr<rocksdb::Cache>& cache);

}  // namespace millrace::storage
