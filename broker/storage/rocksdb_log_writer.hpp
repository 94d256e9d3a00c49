// Private: one log's way to the disk. What RocksDB appends is gathered, with the log's salt, and goes to the file in one piece: by whoever syncs, while the
// thread that appends goes on with the next batch.
//
//   gather ─► | tail | batch | batch |  ──write──►  file … | page | page | end | what a dead log left |
//               ▲ of the page in which the log ends                        └ over which the next write comes
//
// A file written past the page cache takes whole pages: the one that the log ends in is written again with the next write, and what is behind the end in the last one
// are zeros.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "broker/storage/page_buffer.hpp"
#include "broker/storage/rocksdb_log_records.hpp"

namespace millrace::storage {

/// gather() from one thread at a time, and beside all others; write(), sync() and close() from one at a time, by whatever lock the caller has for them.
class log_writer {
public:
    /// `left_there`: so many bytes of a dead log, which `file` is written over. `fills`: somebody waits for syncs, so that zeros ahead of small ones pay.
    log_writer(std::unique_ptr<rocksdb::FSWritableFile> file, std::uint64_t number, std::uint64_t left_there, bool fills, std::shared_ptr<page_buffers> buffers);

    rocksdb::FSWritableFile* file() { return file_.get(); }

    /// Keeps a copy. Returns how many bytes wait to be written.
    std::size_t gather(std::string_view bytes);

    /// Of all that was gathered.
    std::uint64_t end() const;

    /// Over a dead log: the file tells from now on that this one is there, and has nothing in it yet.
    rocksdb::IOStatus begin() { return put(take(), {}, nullptr); }

    /// What was gathered goes to the file.
    rocksdb::IOStatus write(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug);

    /// Makes durable what was written, if anything was since the last time.
    rocksdb::IOStatus sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug);

    /// The file ends where the log does, as far as it was written, and takes no more.
    rocksdb::IOStatus close(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug);

    /// Whole records are in the file up to here. From any thread.
    std::uint64_t whole() const { return whole_; }

private:
    struct piece {
        page_buffer bytes;
        std::uint64_t at = 0;     // of the first of them in the file
        std::uint64_t whole = 0;  // records, with them
    };

    piece take();
    rocksdb::IOStatus put(piece taken, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug);
    void fill(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug);

    const std::unique_ptr<rocksdb::FSWritableFile> file_;
    const std::shared_ptr<page_buffers> buffers_;
    const std::uint32_t salt_;
    const std::uint64_t left_there_;
    const std::size_t piece_bytes_;  // it is written in pieces of so many

    mutable std::mutex gathering_;
    log_salter salter_;
    page_buffer gathered_;  // behind the tail; without memory while nothing was gathered
    std::string tail_;      // what the log's last page has already

    std::uint64_t written_ = 0;  // the log is in the file up to here
    std::uint64_t filled_;       // zeros reach up to here, or once did, or what was left there
    std::uint64_t unsynced_ = 0;
    bool positioned_;            // what is written goes to its place, not to where the file ends
    bool can_fill_;
    bool syncs_are_small_ = false;
    std::atomic<std::uint64_t> whole_{0};
};

}  // namespace millrace::storage
