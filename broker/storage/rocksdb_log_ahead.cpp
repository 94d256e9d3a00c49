#include "broker/storage/rocksdb_log_ahead.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

constexpr std::uint64_t small_sync = 16u << 10;
constexpr std::uint64_t ahead = 256u << 10;
constexpr std::array<char, 64u << 10> zeros{};

/// RocksDB appends from one thread at a time, and syncs beside it.
class ahead_filled_log final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    ahead_filled_log(std::unique_ptr<rocksdb::FSWritableFile> file, std::function<void()> failed)
        : FSWritableFileOwnerWrapper(std::move(file)), failed_(std::move(failed)) {}

    IO Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
        auto status = positioned_ ? PositionedAppend(data, end_, options, debug) : FSWritableFileOwnerWrapper::Append(data, options, debug);
        if (!status.ok()) {
            failed_();
            return status;
        }
        end_ += data.size();
        unsynced_ += data.size();
        if (end_ > filled_ && syncs_are_small_ && can_fill_) {
            fill(options, debug);
        }
        return status;
    }

    IO Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
        return Append(data, options, debug);
    }

    IO Sync(const IOOptions& options, IODebugContext* debug) override {
        note_sync();
        return FSWritableFileOwnerWrapper::Sync(options, debug);
    }

    IO Fsync(const IOOptions& options, IODebugContext* debug) override {
        note_sync();
        return FSWritableFileOwnerWrapper::Fsync(options, debug);
    }

    IO Close(const IOOptions& options, IODebugContext* debug) override {
        if (positioned_) {
            Truncate(end_, options, debug).PermitUncheckedError();  // zeros at the end harm nobody
        }
        return FSWritableFileOwnerWrapper::Close(options, debug);
    }

    std::uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return end_; }

private:
    void note_sync() { syncs_are_small_ = unsynced_.exchange(0) <= small_sync; }

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

    const std::function<void()> failed_;
    std::atomic<std::uint64_t> end_{0};       // of what was appended
    std::uint64_t filled_ = 0;                // zeros reach up to here, or once did
    bool positioned_ = false;                 // what is appended is written to end_, not to where the file ends
    std::atomic<std::uint64_t> unsynced_{0};  // bytes
    std::atomic<bool> syncs_are_small_{false};
    bool can_fill_ = true;
};

class log_filling_file_system final : public rocksdb::FileSystemWrapper {
public:
    log_filling_file_system(std::shared_ptr<rocksdb::FileSystem> files, std::function<void()> failed)
        : FileSystemWrapper(std::move(files)), failed_(std::move(failed)) {}

    const char* Name() const override { return "filling_logs_ahead"; }

    IO NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                       IODebugContext* debug) override {
        auto status = target()->NewWritableFile(path, options, file, debug);
        if (status.ok() && path.ends_with(".log")) {
            *file = std::make_unique<ahead_filled_log>(std::move(*file), failed_);
        }
        return status;
    }

private:
    const std::function<void()> failed_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> filling_logs_ahead(std::shared_ptr<rocksdb::FileSystem> files, std::function<void()> failed) {
    return std::make_shared<log_filling_file_system>(std::move(files), std::move(failed));
}

}  // namespace millrace::storage
