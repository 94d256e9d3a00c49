#include "broker/storage/rocksdb_log_files.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "broker/storage/page_buffer.hpp"
#include "broker/storage/rocksdb_files.hpp"
#include "broker/storage/rocksdb_log_records.hpp"
#include "broker/storage/rocksdb_log_view.hpp"

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

constexpr std::uint64_t small_sync = 16u << 10;
constexpr std::uint64_t ahead = 256u << 10;
constexpr std::array<char, 64u << 10> zeros{};

/// What stands behind a log that ends at `end`, over what a dead one left there.
std::string end_behind(std::uint64_t end, std::uint32_t salt) {
    const auto room = log_block_bytes - end % log_block_bytes;
    const auto header = record_header(record_type::end, {}, salt);
    return std::string(room < header.size() ? room : 0, '\0').append(header.data(), header.size());
}

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
    open_log(std::unique_ptr<rocksdb::FSWritableFile> of, std::string name) : file(std::move(of)), path(std::move(name)) {}

    const std::unique_ptr<rocksdb::FSWritableFile> file;
    const std::string path;
    std::mutex syncing;                      // and closing
    bool is_closed = false;                  // what it holds is in tables, or nobody waits for it
    std::atomic<std::uint64_t> unsynced{0};  // bytes
    std::atomic<bool> syncs_are_small{false};
    std::atomic<std::uint64_t> whole{0};  // records up to here
};

struct log_files::shared_state {
    std::mutex mutex;
    std::vector<std::shared_ptr<open_log>> open;
    std::set<std::string> made;                  // and not deleted
    std::set<std::string> unsynced_directories;  // where names of logs are not durable
    error failure;                               // the first
    std::atomic<bool> has_failed{false};
    std::string directory;  // of the database, once it has a log

    IO fail(errc code, const std::string& doing, IO status) {
        std::lock_guard lock(mutex);
        if (!has_failed) {
            failure = {code, doing + ": " + status.ToString()};
            has_failed = true;
        }
        return status;
    }

    /// What another thread syncs is synced when this returns.
    IO sync(open_log& log, const IOOptions& options, IODebugContext* debug) {
        std::lock_guard lock(log.syncing);
        const auto bytes = log.unsynced.exchange(0);
        if (has_failed) {
            return IO::IOError("not synced: a log failed before");
        }
        if (bytes == 0 || log.is_closed) {
            return IO::OK();
        }
        log.syncs_are_small = bytes <= small_sync;
        auto status = log.file->Sync(options, debug);
        return status.ok() ? std::move(status) : fail(errc::sync_failed, "syncing " + log.path + " failed", std::move(status));
    }
};

/// RocksDB appends to it from one thread at a time.
class log_files::log_file final : public rocksdb::FSWritableFileWrapper {
public:
    /// `left_there`: so many bytes of a dead log, which it is written over.
    log_file(std::shared_ptr<open_log> log, std::shared_ptr<shared_state> state, std::uint64_t number, std::uint64_t left_there, bool synced)
        : FSWritableFileWrapper(log->file.get()),
          log_(std::move(log)),
          state_(std::move(state)),
          salt_(salt_of(number)),
          salter_(number),
          left_there_(left_there),
          piece_(log_->file->use_direct_io() ? page_bytes : 1),
          filled_(left_there),
          positioned_(left_there > 0),
          can_fill_(synced && piece_ == 1) {}
    ~log_file() override { leave(); }

    const std::shared_ptr<open_log>& shared() const { return log_; }

    IO Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
        if (state_->has_failed) {
            return IO::IOError("not written: a log failed before");
        }
        auto status = write(data, options, debug);
        if (!status.ok()) {
            return state_->fail(errc::storage_failure, "writing " + log_->path + " failed", std::move(status));
        }
        end_ += data.size();
        log_->whole = salter_.whole();
        log_->unsynced += data.size();
        if (end_ > filled_ && log_->syncs_are_small && can_fill_) {
            fill(options, debug);
        }
        return status;
    }

    IO Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
        return Append(data, options, debug);
    }

    /// Tells whoever reads the file from now on that this log is there, and has nothing in it yet.
    IO begin() { return write({}, {}, nullptr); }

    IO Sync(const IOOptions& options, IODebugContext* debug) override { return state_->sync(*log_, options, debug); }
    IO Fsync(const IOOptions& options, IODebugContext* debug) override { return Sync(options, debug); }

    IO Close(const IOOptions& options, IODebugContext* debug) override {
        leave();
        if (positioned_) {
            Truncate(end_, options, debug).PermitUncheckedError();  // zeros at the end harm nobody
        }
        return FSWritableFileWrapper::Close(options, debug);
    }

    std::uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return end_; }

    /// RocksDB writes as it comes; what the file wants is seen to here.
    bool use_direct_io() const override { return false; }

    /// What a dead log left is allocated.
    void PrepareWrite(std::size_t offset, std::size_t bytes, const IOOptions& options, IODebugContext* debug) override {
        if (offset + bytes > left_there_) {
            FSWritableFileWrapper::PrepareWrite(offset, bytes, options, debug);
        }
    }

private:
    /// In a copy, for what RocksDB gave is not ours to change. A file written past the page cache takes whole pages: the one that the log ends in is written
    /// again with what was in it, and what is behind the end in the last one are zeros.
    IO write(const Slice& data, const IOOptions& options, IODebugContext* debug) {
        const auto there = buffer_.size();
        buffer_.append(data.ToStringView());
        salter_.put_on(buffer_.data() + there, data.size());
        const auto written = buffer_.size();
        if (salter_.at() < left_there_) {
            buffer_.append(end_behind(salter_.at(), salt_));
        }
        buffer_.fill_up(piece_);
        const Slice pieces(buffer_.data(), buffer_.size());
        auto status = positioned_ ? PositionedAppend(pieces, end_ - there, options, debug) : FSWritableFileWrapper::Append(pieces, options, debug);
        buffer_.keep_last(written % piece_, written);
        return status;
    }

    void leave() {
        {
            std::lock_guard no_sync(log_->syncing);
            log_->is_closed = true;
        }
        std::lock_guard lock(state_->mutex);
        std::erase(state_->open, log_);
    }

    /// On a full disk, or on a file system that does not write at a position, the log goes on without. Part of what failed may be there: then what is
    /// appended would not come where it should.
    void fill(const IOOptions& options, IODebugContext* debug) {
        const auto until = (end_ / ahead + 1) * ahead;
        for (std::uint64_t at = end_; at < until; at = filled_) {
            const auto bytes = std::min<std::uint64_t>(until - at, zeros.size());
            const auto filled = PositionedAppend(Slice(zeros.data(), bytes), at, options, debug);
            positioned_ = !filled.IsNotSupported();
            if (!filled.ok()) {
                can_fill_ = false;
                return;
            }
            filled_ = at + bytes;
        }
    }

    const std::shared_ptr<open_log> log_;
    const std::shared_ptr<shared_state> state_;
    const std::uint32_t salt_;
    log_salter salter_;
    page_buffer buffer_;                 // before a write, what the log's last page has already
    std::atomic<std::uint64_t> end_{0};  // of what was appended
    const std::uint64_t left_there_;
    const std::size_t piece_;            // it is written in pieces of so many bytes
    std::uint64_t filled_;               // zeros reach up to here, or once did, or what was left there
    bool positioned_;                    // what is appended is written to end_, not to where the file ends
    bool can_fill_;
};

log_files::log_files(std::shared_ptr<rocksdb::FileSystem> files, bool synced, log_spares* spares)
    : FileSystemWrapper(std::move(files)), state_(std::make_shared<shared_state>()), synced_(synced), spares_(spares) {}

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
        *file = enter(std::make_unique<log_file>(std::make_shared<open_log>(std::move(made), path), state_, *number, 0, synced_));
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
bool log_files::write_over(const log_spares::spare& spare, const std::string& path, std::uint64_t number, rocksdb::FileOptions options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file) {
    std::unique_ptr<rocksdb::FSWritableFile> there;
    options.use_direct_writes = synced_;
    auto status = target()->ReuseWritableFile(path, spare.path, options, &there, nullptr);
    if (!status.ok() && std::exchange(options.use_direct_writes, false)) {
        status = target()->ReuseWritableFile(path, spare.path, options, &there, nullptr);
    }
    if (status.ok()) {
        auto log = std::make_unique<log_file>(std::make_shared<open_log>(std::move(there), path), state_, number, spare.bytes, synced_);
        if (log->begin().ok()) {
            *file = enter(std::move(log));
            return true;
        }
    }
    target()->DeleteFile(spare.path, {}, nullptr).PermitUncheckedError();
    return false;
}

std::unique_ptr<rocksdb::FSWritableFile> log_files::enter(std::unique_ptr<log_file> log) {
    std::lock_guard lock(state_->mutex);
    state_->open.push_back(log->shared());
    const auto& path = log->shared()->path;
    state_->made.insert(path);
    const auto directory = std::filesystem::path(path).parent_path().string();
    state_->unsynced_directories.insert(directory);
    if (state_->directory.empty()) {
        state_->directory = directory;
    }
    return log;
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
    *size = (*log)->whole;
    return IO::OK();
}

error log_files::sync() {
    std::lock_guard one_at_a_time(syncing_);
    std::vector<std::shared_ptr<open_log>> logs;
    std::set<std::string> directories;
    {
        std::lock_guard lock(state_->mutex);
        if (state_->has_failed) {
            return state_->failure;
        }
        logs = state_->open;
        directories = std::exchange(state_->unsynced_directories, {});
    }
    IO status;
    for (auto log = logs.begin(); log != logs.end() && status.ok(); ++log) {
        status = state_->sync(**log, {}, nullptr);
    }
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
