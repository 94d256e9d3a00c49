#include "broker/storage/rocksdb_read_ahead.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "broker/storage/page_buffer.hpp"

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

constexpr std::uint64_t ahead_bytes = 512u << 10;   // in front of a reader: 128 KiB do as well for entries of half a MiB, 2 MiB not quite
constexpr std::uint64_t gap_max = 64u << 10;        // between two reads in order: something was freed there
constexpr std::uint64_t behind_bytes = 256u << 20;  // of all files together
constexpr std::uint64_t chunk_bytes = 256u << 10;   // is given back at once

/// What readers have passed: it stays in the page cache for those who come close behind them, and goes, oldest first, when more is there. Threads: any.
class passed_chunks {
public:
    struct chunk {
        std::weak_ptr<rocksdb::FSRandomAccessFile> file;
        std::uint64_t begin = 0, end = 0;
    };

    void note(chunk read) {
        std::vector<chunk> old;
        {
            std::lock_guard lock(mutex_);
            bytes_ += read.end - read.begin;
            chunks_.push_back(std::move(read));
            for (; bytes_ > behind_bytes; chunks_.pop_front()) {
                bytes_ -= chunks_.front().end - chunks_.front().begin;
                old.push_back(std::move(chunks_.front()));
            }
        }
        for (const auto& c : old) {
            const auto begin = c.begin / page_bytes * page_bytes;  // the kernel keeps a page of which something is left
            if (const auto file = c.file.lock()) {
                file->InvalidateCache(begin, c.end - begin).PermitUncheckedError();
            }
        }
    }

private:
    std::mutex mutex_;
    std::deque<chunk> chunks_;
    std::uint64_t bytes_ = 0;
};

/// Threads: any.
class eager_file final : public rocksdb::FSRandomAccessFileWrapper {
public:
    eager_file(std::shared_ptr<rocksdb::FSRandomAccessFile> file, std::shared_ptr<passed_chunks> passed)
        : FSRandomAccessFileWrapper(file.get()), file_(std::move(file)), passed_(std::move(passed)) {}

    IO Read(std::uint64_t offset, std::size_t size, const IOOptions& options, Slice* found, char* scratch, IODebugContext* debug) const override {
        const auto [ahead, behind] = move_reader(offset, offset + size);
        if (ahead.begin < ahead.end) {
            file_->Prefetch(ahead.begin, ahead.end - ahead.begin, options, debug).PermitUncheckedError();
        }
        auto status = file_->Read(offset, size, options, found, scratch, debug);
        if (behind.begin < behind.end) {
            passed_->note({file_, behind.begin, behind.end});
        }
        return status;
    }

private:
    struct reader {
        std::uint64_t at = std::numeric_limits<std::uint64_t>::max();  // where its last read ended
        std::uint64_t ahead = 0;                                       // up to here has been asked for
        std::uint64_t noted = 0;                                       // up to here it is known to have passed
    };
    struct range {
        std::uint64_t begin = 0, end = 0;
    };
    struct around {
        range ahead, behind;
    };

    /// What to ask for, and what is passed, with a read from `begin` to `end`: where it goes on from where another one ended.
    around move_reader(std::uint64_t begin, std::uint64_t end) const {
        around found;
        std::lock_guard lock(mutex_);
        const auto on = std::find_if(readers_.begin(), readers_.end(), [&](const auto& r) { return begin >= r.at && begin - r.at <= gap_max; });
        if (on == readers_.end()) {
            readers_[oldest_++ % readers_.size()] = {end, end, begin};
            return found;
        }
        on->at = end;
        if (const auto asked = std::max(on->ahead, end); asked - end <= ahead_bytes / 2) {
            on->ahead = end + ahead_bytes;
            found.ahead = {asked, on->ahead};
        }
        if (end - on->noted >= chunk_bytes) {
            found.behind = {std::exchange(on->noted, end), end};
        }
        return found;
    }

    const std::shared_ptr<rocksdb::FSRandomAccessFile> file_;
    const std::shared_ptr<passed_chunks> passed_;
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
            *opened = std::make_unique<eager_file>(std::move(*opened), passed_);
        }
        return status;
    }

private:
    const std::shared_ptr<passed_chunks> passed_ = std::make_shared<passed_chunks>();
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> reading_ahead(std::shared_ptr<rocksdb::FileSystem> files) {
    return std::make_shared<reading_ahead_files>(std::move(files));
}

}  // namespace millrace::storage
