#include "broker/storage/rocksdb_log_files.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "broker/storage/rocksdb_files.hpp"
#include "broker/storage/rocksdb_log_records.hpp"
#include "broker/storage/rocksdb_log_view.hpp"
#include "broker/storage/rocksdb_log_writer.hpp"

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

/// In the place of a log that cannot be made.
class unmade_log final : public rocksdb::FSWritableFile {
public:
    explicit unmade_log(IO why) : why_(std::move(why)) {}
    IO Append(const Slice&, const IOOptions&, IODebugContext*) override { return why_; }
    IO Append(const Slice&, const IOOptions&, const rocksdb::DataVerificationInfo&, IODebugContext*) override { return why_; }
    IO Flush(const IOOptions&, IODebugContext*) override { return IO::OK(); }
    IO Sync(const IOOptions&, IODebugContext*) override { return why_; }
    IO Close(const IOOptions&, IODebugContext*) override { return IO::OK(); }

private:
    const IO why_;
};

}  // namespace

/// What a log's file, which RocksDB may close, and a sync, which may be under way then, have in common.
struct log_files::open_log {
    open_log(std::string name, std::unique_ptr<rocksdb::FSWritableFile> file, std::uint64_t number, std::uint64_t left_there, const shared_state& state);

    const std::string path;
    log_writer writer;
    std::mutex one_at_a_time;  // writes, syncs, closes
    bool is_closed = false;    // what it holds is in tables, or nobody waits for it
};

struct log_files::shared_state {
    explicit shared_state(bool is_synced) : synced(is_synced) {}

    const bool synced;
    const std::shared_ptr<page_buffers> buffers = std::make_shared<page_buffers>();
    std::mutex mutex;
    std::vector<std::shared_ptr<open_log>> open;
    std::set<std::string> made;                  // and not deleted
    std::set<std::string> unsynced_directories;  // where names of logs are not durable
    error failure;                               // the first
    std::atomic<bool> has_failed{false};
    std::string directory;  // of the database, once it has a log

    /// OK, or why nothing is written any more.
    IO refusal() const { return has_failed ? IO::IOError("not written: a log failed before") : IO::OK(); }

    IO fail(errc code, const std::string& doing, IO status) {
        std::lock_guard lock(mutex);
        if (!has_failed) {
            failure = {code, doing + ": " + status.ToString()};
            has_failed = true;
        }
        return status;
    }

    /// In their order, so that no log is ever written while one in front of it is not.
    IO write_all(const IOOptions& options, IODebugContext* debug) {
        return on_each_log([&](open_log& log) {
            std::lock_guard lock(log.one_at_a_time);
            return write_alone(log, options, debug);
        });
    }

    IO sync_all() {
        return on_each_log([this](open_log& log) { return sync(log, {}, nullptr); });
    }

    /// What another thread syncs is synced when this returns.
    IO sync(open_log& log, const IOOptions& options, IODebugContext* debug) {
        std::lock_guard lock(log.one_at_a_time);
        if (log.is_closed && !has_failed) {
            return IO::OK();
        }
        auto status = write_alone(log, options, debug);
        if (!status.ok()) {
            return status;
        }
        status = log.writer.sync(options, debug);
        return status.ok() ? std::move(status) : fail(errc::sync_failed, "syncing " + log.path + " failed", std::move(status));
    }

    IO close(const std::shared_ptr<open_log>& log, const IOOptions& options, IODebugContext* debug) {
        std::lock_guard lock(log->one_at_a_time);
        write_alone(*log, options, debug).PermitUncheckedError();  // nobody waits for it, or it has failed before
        leave(log);
        return log->writer.close(options, debug);
    }

    /// REQUIRES one_at_a_time of the log, or that nobody else has it.
    void leave(const std::shared_ptr<open_log>& log) {
        log->is_closed = true;
        std::lock_guard lock(mutex);
        std::erase(open, log);
    }

private:
    template <class Act>
    IO on_each_log(Act act) {
        std::vector<std::shared_ptr<open_log>> logs;
        {
            std::lock_guard lock(mutex);
            logs = open;
        }
        IO status;
        for (auto log = logs.begin(); log != logs.end() && status.ok(); ++log) {
            status = act(**log);
        }
        return status;
    }

    IO write_alone(open_log& log, const IOOptions& options, IODebugContext* debug) {
        auto refused = refusal();
        if (!refused.ok()) {
            return refused;
        }
        auto status = log.writer.write(options, debug);
        if (status.ok()) {
            return status;
        }
        const auto code = status.IsNoSpace() ? errc::disk_full : errc::storage_failure;
        return fail(code, "writing " + log.path + " failed", std::move(status));
    }
};

log_files::open_log::open_log(std::string name, std::unique_ptr<rocksdb::FSWritableFile> file, std::uint64_t number, std::uint64_t left_there,
                              const shared_state& state)
    : path(std::move(name)), writer(std::move(file), number, left_there, state.synced, state.buffers) {}

/// RocksDB appends to it from one thread at a time.
class log_files::log_file final : public rocksdb::FSWritableFileWrapper {
public:
    log_file(std::shared_ptr<open_log> log, std::shared_ptr<shared_state> state)
        : FSWritableFileWrapper(log->writer.file()), log_(std::move(log)), state_(std::move(state)) {}
    ~log_file() override {
        std::lock_guard lock(log_->one_at_a_time);
        state_->leave(log_);
    }

    IO Append(const Slice& data, const IOOptions&, IODebugContext*) override {
        auto refused = state_->refusal();
        if (!refused.ok()) {
            return refused;
        }
        gathered_ = log_->writer.gather(data.ToStringView());
        return IO::OK();
    }

    IO Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
        return Append(data, options, debug);
    }

    /// A batch is whole. Who waits for the disk writes it as well, and the next batch is made meanwhile.
    IO Flush(const IOOptions& options, IODebugContext* debug) override {
        return state_->synced && gathered_ < gathered_max ? IO::OK() : state_->write_all(options, debug);
    }

    IO Sync(const IOOptions& options, IODebugContext* debug) override { return state_->sync(*log_, options, debug); }
    IO Fsync(const IOOptions& options, IODebugContext* debug) override { return Sync(options, debug); }
    IO Close(const IOOptions& options, IODebugContext* debug) override { return state_->close(log_, options, debug); }

    std::uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return log_->writer.end(); }

    /// RocksDB appends as it comes; what the file wants is seen to by the writer.
    bool use_direct_io() const override { return false; }
    void PrepareWrite(std::size_t, std::size_t, const IOOptions&, IODebugContext*) override {}

private:
    const std::shared_ptr<open_log> log_;
    const std::shared_ptr<shared_state> state_;
    std::size_t gathered_ = 0;  // bytes that waited to be written after the last append
};

log_files::log_files(std::shared_ptr<rocksdb::FileSystem> files, bool synced, log_spares* spares)
    : FileSystemWrapper(std::move(files)), state_(std::make_shared<shared_state>(synced)), spares_(spares) {}

log_files::~log_files() {
    if (spares_) {
        spares_->drop();
    }
}

IO log_files::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                              IODebugContext* debug) {
    const auto number = log_number(path);
    if (!number) {
        return target()->NewWritableFile(path, options, file, debug);
    }
    const auto spare = spares_ ? spares_->take_for(path) : std::nullopt;
    if (spare && write_over(*spare, path, *number, options, file)) {
        return IO::OK();
    }
    std::unique_ptr<rocksdb::FSWritableFile> made;
    auto status = target()->NewWritableFile(path, options, &made, debug);
    if (status.ok()) {
        *file = enter(std::make_shared<open_log>(path, std::move(made), *number, 0, *state_));
    } else if (is_one_more(path)) {
        *file = std::make_unique<unmade_log>(state_->fail(errc::storage_failure, "making " + path + " failed", std::move(status)));
        return IO::OK();
    }
    return status;
}

/// Whether the log is one more of the database: neither its first one, which is made while it opens, nor a checkpoint's.
bool log_files::is_one_more(const std::string& path) const {
    std::lock_guard lock(state_->mutex);
    return std::filesystem::path(path).parent_path() == state_->directory;
}

/// False: a new one is to be made. What is written first tells that this log is empty, and whether the file system writes at a position.
bool log_files::write_over(const log_spares::spare& spare, const std::string& path, std::uint64_t number, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file) {
    std::unique_ptr<rocksdb::FSWritableFile> there;
    auto status = target()->ReuseWritableFile(path, spare.path, options, &there, nullptr);
    if (status.ok()) {
        auto log = std::make_shared<open_log>(path, std::move(there), number, spare.bytes, *state_);
        if (log->writer.begin().ok()) {
            *file = enter(std::move(log));
            return true;
        }
    }
    target()->DeleteFile(spare.path, {}, nullptr).PermitUncheckedError();
    return false;
}

std::unique_ptr<rocksdb::FSWritableFile> log_files::enter(std::shared_ptr<open_log> log) {
    std::lock_guard lock(state_->mutex);
    state_->open.push_back(log);
    state_->made.insert(log->path);
    const auto directory = std::filesystem::path(log->path).parent_path().string();
    state_->unsynced_directories.insert(directory);
    if (state_->directory.empty()) {
        state_->directory = directory;
    }
    return std::make_unique<log_file>(std::move(log), state_);
}

/// What is appended is gathered once, here. Past the page cache, as the database's other files are where the file system can: a log's pages are written once.
rocksdb::FileOptions log_files::OptimizeForLogWrite(const rocksdb::FileOptions& options, const rocksdb::DBOptions& database) const {
    auto optimized = target()->OptimizeForLogWrite(options, database);
    optimized.writable_file_max_buffer_size = 0;
    optimized.use_direct_writes = state_->synced && database.use_direct_io_for_flush_and_compaction;
    return optimized;
}

/// Only what was made here is kept: it has salt, of a number smaller than those to come.
IO log_files::DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* debug) {
    bool was_made_here = false;
    {
        std::lock_guard lock(state_->mutex);
        was_made_here = state_->made.erase(path) > 0;
    }
    if (spares_ && was_made_here) {
        auto status = spares_->keep(path);
        if (!status.IsNotSupported()) {
            return status;
        }
    }
    return target()->DeleteFile(path, options, debug);
}

IO log_files::NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                IODebugContext* debug) {
    auto status = target()->NewSequentialFile(path, options, file, debug);
    const auto number = log_number(path);
    if (status.ok() && number) {
        *file = view_of_log(std::move(*file), *number);
    }
    return status;
}

/// A checkpoint copies so much of the log that is being written.
IO log_files::GetFileSize(const std::string& path, const IOOptions& options, std::uint64_t* size, IODebugContext* debug) {
    std::lock_guard lock(state_->mutex);
    const auto log = std::find_if(state_->open.begin(), state_->open.end(), [&](const auto& open) { return open->path == path; });
    if (log == state_->open.end()) {
        return target()->GetFileSize(path, options, size, debug);
    }
    *size = (*log)->writer.whole();
    return IO::OK();
}

void log_files::write() {
    state_->write_all({}, nullptr).PermitUncheckedError();
}

error log_files::sync() {
    std::lock_guard one_at_a_time(syncing_);
    std::set<std::string> directories;
    {
        std::lock_guard lock(state_->mutex);
        if (state_->has_failed) {
            return state_->failure;
        }
        directories = std::exchange(state_->unsynced_directories, {});
    }
    auto status = state_->sync_all();
    for (auto directory = directories.begin(); directory != directories.end() && status.ok(); ++directory) {
        status = sync_names(*target(), *directory);
        if (!status.ok()) {
            status = state_->fail(errc::sync_failed, "syncing the directory " + *directory + " failed", std::move(status));
        }
    }
    std::lock_guard lock(state_->mutex);
    return status.ok() ? error{} : state_->failure;
}

}  // namespace millrace::storage
