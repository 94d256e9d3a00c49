// Private: the files of RocksDB's write-ahead logs. RocksDB appends to them; the engine writes and syncs what was appended (rocksdb_log_writer), over dead logs, and
// fills them with zeros a little ahead of what is written.
//
//   | batch | batch | batch | 0 0 0 0 0 0 0 0 0 |
//                           ▲ next              ▲ the file's size, on disk
//
// Synced here and not by RocksDB's SyncWAL: that asserts, and ends the process, when a write to a log, or its own sync of one before a flush, has failed
// before. Here it is an error, and nothing is written to any log from then on: what a failed sync may have lost is not built upon.
//
// When a log cannot be made, RocksDB forgets about families that it was to begin new memtables of, if there are two, and asserts when it is closed. So it gets a
// log to which nothing can be written, and the write that wanted it fails.
//
// A sync of what was appended also makes the file's new size durable, which is a write of its own; what is written over zeros that are there costs its
// data alone. 4 KiB and fdatasync on ext4: 0.26 ms appended, 0.17 over zeros. Large commits are appended as they come: they would
// be written twice, and the bandwidth is what they need.
//
// A log whose messages are in tables becomes a spare (rocksdb_log_spares), and the next log is written over it: its blocks and its size are there. Behind what
// is written comes an end, over which the next write comes:
//
//   | batch | batch | batch | end | what a dead log left |
//
// A log that somebody waits for is written past the page cache, where the file system can: its pages are written once.
//
// What is written has the log's salt (rocksdb_log_records), and what RocksDB reads has not: it sees a log that ends where its last record does. After a
// crash zeros, or a dead log's bytes, stand behind that; rocksdb_log_scan knows them.
#pragma once

#include <rocksdb/file_system.h>

#include <memory>
#include <mutex>
#include <string>

#include "broker/storage/rocksdb_log_spares.hpp"
#include "millrace/error.hpp"

namespace millrace::storage {

/// A file system like `files`, for one database. Thread-safe.
class log_files final : public rocksdb::FileSystemWrapper {
public:
    /// Of a log, in bytes: more is written by who appends, whoever else is to write it. So what writes without a sync does not fill the memory.
    static constexpr std::size_t gathered_max = 8u << 20;

    /// `synced`: somebody waits for what is written to be on the disk, so that filling ahead (while syncs are small, where files take PositionedAppend) and
    /// writing past the page cache (where the database's other files are) pay.
    /// `spares`, if there are any, belong to the database, and outlive it.
    log_files(std::shared_ptr<rocksdb::FileSystem> files, bool synced, log_spares* spares = nullptr);
    ~log_files() override;

    /// Makes durable what was appended to the logs, and their names. Errors, from the first failure on: sync_failed, also when it was RocksDB's own sync;
    /// disk_full or storage_failure, when a write failed.
    error sync();

    /// What was appended is in the files when this returns, or sync() says what failed.
    void write();

    const char* Name() const override { return "log_files"; }
    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                        rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
    rocksdb::FileOptions OptimizeForLogWrite(const rocksdb::FileOptions& options, const rocksdb::DBOptions& database) const override;
    rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions& options, std::uint64_t* size, rocksdb::IODebugContext* debug) override;

private:
    class log_file;
    struct open_log;
    struct shared_state;

    bool write_over(const log_spares::spare& spare, const std::string& path, std::uint64_t number, const rocksdb::FileOptions& options,
                    std::unique_ptr<rocksdb::FSWritableFile>* file);
    std::unique_ptr<rocksdb::FSWritableFile> enter(std::shared_ptr<open_log> log);
    bool is_one_more(const std::string& path) const;

    const std::shared_ptr<shared_state> state_;  // also its files', which may outlive it
    log_spares* const spares_;
    std::mutex syncing_;  // one at a time: what another one has taken up is not synced before that one ends
};

}  // namespace millrace::storage
