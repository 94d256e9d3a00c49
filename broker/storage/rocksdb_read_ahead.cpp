#include "broker/storage/rocksdb_read_ahead.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <mutex>
#include <utility>

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

constexpr std::uint64_t window_bytes = 512u << 10;  // ahead of a reader: 128 KiB do as well for entries of half a MiB, 2 MiB not quite
constexpr std::uint64_t gap_max = 64u << 10;        // between two reads in order: something was freed there

/// Threads: any.
class eager_file final : public rocksdb::FSRandomAccessFileOwnerWrapper {
public:
    using FSRandomAccessFileOwnerWrapper::FSRandomAccessFileOwnerWrapper;

    IO Read(std::uint64_t offset, std::size_t size, const IOOptions& options, Slice* found, char* scratch, IODebugContext* debug) const override {
        if (const auto [from, to] = wanted(offset, offset + size); from < to) {
            target()->Prefetch(from, to - from, options, debug).PermitUncheckedError();
        }
        return target()->Read(offset, size, options, found, scratch, debug);
    }

private:
    struct reader {
        std::uint64_t at = std::numeric_limits<std::uint64_t>::max();  // where its last read ended
        std::uint64_t ahead = 0;                                       // up to here has been asked for
    };

    /// What to read ahead of a read from `begin` to `end`: of one that goes on where another ended.
    std::pair<std::uint64_t, std::uint64_t> wanted(std::uint64_t begin, std::uint64_t end) const {
        std::lock_guard lock(mutex_);
        const auto found = std::find_if(readers_.begin(), readers_.end(), [&](const reader& r) { return begin >= r.at && begin - r.at <= gap_max; });
        if (found == readers_.end()) {
            readers_[oldest_++ % readers_.size()] = {end, end};
            return {};
        }
        found->at = end;
        const auto from = std::max(found->ahead, end);
        if (from - end > window_bytes / 2) {
            return {};
        }
        found->ahead = end + window_bytes;
        return {from, found->ahead};
    }

    mutable std::mutex mutex_;
    mutable std::array<reader, 4> readers_;
    mutable std::size_t oldest_ = 0;
};

class reading_ahead_files final : public rocksdb::FileSystemWrapper {
public:
    using FileSystemWrapper::FileSystemWrapper;
    const char* Name() const override { return "reading_ahead"; }

    IO NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSRandomAccessFile>* opened,
                           IODebugContext* debug) override {
        auto status = target()->NewRandomAccessFile(path, options, opened, debug);
        if (status.ok() && path.ends_with(".blob")) {
            *opened = std::make_unique<eager_file>(std::move(*opened));
        }
        return status;
    }
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> reading_ahead(std::shared_ptr<rocksdb::FileSystem> files) {
    return std::make_shared<reading_ahead_files>(std::move(files));
}

}  // namespace millrace::storage
