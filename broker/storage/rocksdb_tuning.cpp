#include "broker/storage/rocksdb_tuning.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>

#include <algorithm>
#include <cstdarg>
#include <memory>

#include "broker/storage/rocksdb_log_files.hpp"

namespace millrace::storage {
namespace {

constexpr std::size_t mebibyte = 1u << 20;

/// RocksDB's own log, of its inner life, is not kept: on a full disk the second line that it cannot write aborts the process. What goes wrong comes back as
/// a status, and the broker says it.
class no_info_log final : public rocksdb::Logger {
public:
    using rocksdb::Logger::Logv;
    void Logv(const char*, std::va_list) override {}
};

rocksdb::ColumnFamilyOptions uncompressed(const std::shared_ptr<rocksdb::Cache>& cache) {
    rocksdb::ColumnFamilyOptions family;
    family.compression = rocksdb::kNoCompression;
    family.bottommost_compression = rocksdb::kNoCompression;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = cache;
    table.no_block_cache = cache == nullptr;
    family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return family;
}

}  // namespace

rocksdb::DBOptions tuned_database(const rocksdb_options& options, rocksdb::Env* env, bool direct_io) {
    rocksdb::DBOptions database;
    database.env = env;
    database.create_if_missing = true;
    database.create_missing_column_families = true;
    database.paranoid_checks = true;
    // Payload leaves the memtable past the page cache: through it, flushes stall the fdatasyncs of the log behind their write-back.
    database.use_direct_io_for_flush_and_compaction = direct_io;
    database.recycle_log_file_num = 0;  // recycled logs need a recovery mode in which DB::Open after a kill -9 never returned
    database.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    database.max_total_wal_size = options.log_bytes;                       // bounds replay: 375 ms for 120 MB
    database.max_manifest_file_size = std::min<std::uint64_t>(64 * mebibyte, options.log_bytes);  // grows with every flush until it is written anew
    database.max_background_jobs = 2;  // a flush and a compaction; more would take the cores from the queue
    database.max_open_files = 512;     // neither memory nor the time to open grows with the backlog
    database.skip_stats_update_on_db_open = true;
    database.advise_random_on_open = true;  // what is read in order is read ahead by rocksdb_read_ahead, not by whatever the machine is set to
    database.max_bgerror_resume_count = 0;  // after an error, open() recovers from the log; nothing resumes behind its back
    database.info_log = std::make_shared<no_info_log>();
    database.stats_dump_period_sec = 0;
    database.stats_persist_period_sec = 0;
    return database;
}

rocksdb_memory memory_of(const rocksdb_options& options) {
    const auto entries = tuned_entries(options, nullptr);
    const auto of = [](const rocksdb::ColumnFamilyOptions& family) { return static_cast<std::uint64_t>(family.max_write_buffer_number) * family.write_buffer_size; };
    return {static_cast<std::uint64_t>(entries.max_write_buffer_number), entries.write_buffer_size, of(tuned_rows(options, nullptr)) + of(tuned_default(options)),
            3 * 2 * log_files::gathered_max, tuned_database(options, nullptr, false).max_total_wal_size};
}

// A few keys of the engine's own.
rocksdb::ColumnFamilyOptions tuned_default(const rocksdb_options&) {
    auto family = uncompressed(nullptr);
    family.write_buffer_size = mebibyte;
    return family;
}

// Small values that are overwritten and erased all the time, and scanned in order: a file in which a run of erased rows has gathered is compacted
// without waiting for its turn, so that a scan does not walk the tombstones of a drained range.
rocksdb::ColumnFamilyOptions tuned_rows(const rocksdb_options& options, const std::shared_ptr<rocksdb::Cache>& cache) {
    auto family = uncompressed(cache);
    family.write_buffer_size = std::min<std::size_t>(16 * mebibyte, options.memtable_bytes);
    family.max_write_buffer_number = 2;
    family.table_properties_collector_factories.push_back(rocksdb::NewCompactOnDeletionCollectorFactory(4096, 2048));
    return family;
}

// Payload. What outlives its memtable goes to a blob file once and is referred to by ~60 bytes in the tree, so that compaction moves
// references; relocating blobs is left to reclaim, which does it only where it pays.
rocksdb::ColumnFamilyOptions tuned_entries(const rocksdb_options& options, const std::shared_ptr<rocksdb::Cache>& cache) {
    auto family = uncompressed(cache);
    family.write_buffer_size = options.memtable_bytes;
    family.max_write_buffer_number = memtables_kept;
    family.min_write_buffer_number_to_merge = 2;  // what is put in one memtable and freed in the next never reaches the disk either
    family.enable_blob_files = true;
    family.min_blob_size = 256;  // below, the reference and its extra read cost about as much as the bytes
    family.blob_compression_type = rocksdb::kNoCompression;
    family.enable_blob_garbage_collection = false;
    family.level0_file_num_compaction_trigger = 4;
    return family;
}

}  // namespace millrace::storage
