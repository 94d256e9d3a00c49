// Private: RocksDB's options, each with the measurement it follows. The table in README.md says the same in words.
#pragma once

#include <rocksdb/options.h>

#include "broker/storage/rocksdb_store.hpp"

namespace millrace::storage {

rocksdb::DBOptions tuned_database(const rocksdb_options& options, rocksdb::Env* env, bool direct_io);
rocksdb::ColumnFamilyOptions tuned_default(const rocksdb_options& options);
rocksdb::ColumnFamilyOptions tuned_rows(const rocksdb_options& options, const std::shared_ptr<rocksdb::Cache>& cache);
rocksdb::ColumnFamilyOptions tuned_entries(const rocksdb_options& options, const std::shared_ptr<rocksdb::Cache>& cache);

}  // namespace millrace::storage
