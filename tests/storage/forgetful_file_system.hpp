// A rocksdb::FileSystem that keeps appended bytes in memory until they are synced: the end of the process, or forget(), loses exactly
// what no sync has covered, as the end of a machine does. And it fails on request.
//
// What it is true to: data reaches a file by Sync, Fsync or RangeSync, and by an orderly Close (the operating system has it then, and the process's
// death takes nothing from it; nobody in the store may take Close for durable, which forget() checks by dropping such bytes as well while
// the file system lives). What it leaves out: names are durable at once (files, renames and deletions survive without a sync of their directory).
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace millrace::storage {

enum class file_fault { io_error, no_space };

/// Which files a fault is for, by the end of their names; "" is all, ".log" the write-ahead log.
struct fault_plan {
    std::string suffix;
    std::uint64_t after = 0;  // operations that still go well
    file_fault fault = file_fault::io_error;
    bool lasts = false;       // every operation from then on, until the plan is replaced
};

class forgetful_file_system : public rocksdb::FileSystemWrapper {
public:
    forgetful_file_system();
    ~forgetful_file_system() override;

    const char* Name() const override { return "forgetful"; }

    /// From now on nothing reaches a file, and what was not synced is gone. The store on it must be destroyed next.
    void forget();

    void fail_writes(const fault_plan& plan);
    void fail_syncs(const fault_plan& plan);
    void fail_new_files(const fault_plan& plan);  // also those that are written over others
    void heal();
    void slow_syncs(std::chrono::microseconds each);

    std::uint64_t syncs() const;

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                         std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* debug) override;

    struct shared_state;

private:
    void moved(const std::string& from, const std::string& to);

    std::shared_ptr<shared_state> state_;
};

}  // namespace millrace::storage
