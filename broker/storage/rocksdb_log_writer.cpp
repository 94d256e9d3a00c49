#include "broker/storage/rocksdb_log_writer.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

constexpr std::uint64_t small_sync = 16u << 10;
constexpr std::uint64_t ahead = 256u << 10;
alignas(page_bytes) constexpr std::array<char, 64u << 10> zeros{};

/// What stands behind a log that ends at `end`, over what a dead one left there.
std::string end_behind(std::uint64_t end, std::uint32_t salt) {
    const auto room = log_block_bytes - end % log_block_bytes;
    const auto header = record_header(record_type::end, {}, salt);
    return std::string(room < header.size() ? room : 0, '\0').append(header.data(), header.size());
}

}  // namespace

log_writer::log_writer(std::unique_ptr<rocksdb::FSWritableFile> file, std::uint64_t number, std::uint64_t left_there, bool fills,
                       std::shared_ptr<page_buffers> buffers)
    : file_(std::move(file)),
      buffers_(std::move(buffers)),
      salt_(salt_of(number)),
      left_there_(left_there),
      piece_bytes_(file_->use_direct_io() ? page_bytes : 1),
      salter_(number),
      filled_(left_there),
      positioned_(left_there > 0 || piece_bytes_ > 1),
      can_fill_(fills) {}

std::size_t log_writer::gather(std::string_view bytes) {
    std::lock_guard lock(gathering_);
    if (gathered_.capacity() == 0) {
        gathered_ = buffers_->take();
        gathered_.append(tail_);
    }
    const auto there = gathered_.size();
    gathered_.append(bytes);
    salter_.put_on(gathered_.data() + there, bytes.size());  // in the copy: what RocksDB gave is not ours to change
    return gathered_.size();
}

std::uint64_t log_writer::end() const {
    std::lock_guard lock(gathering_);
    return salter_.at();
}

log_writer::piece log_writer::take() {
    std::lock_guard lock(gathering_);
    auto bytes = std::exchange(gathered_, {});
    if (bytes.size() == 0) {
        bytes = buffers_->take();
        bytes.append(tail_);
    }
    const auto at = salter_.at() - bytes.size();
    tail_ = bytes.bytes().substr(bytes.size() - bytes.size() % piece_bytes_);
    return {std::move(bytes), at, salter_.whole()};
}

IO log_writer::write(const IOOptions& options, IODebugContext* debug) {
    return end() == written_ ? IO::OK() : put(take(), options, debug);
}

IO log_writer::put(piece taken, const IOOptions& options, IODebugContext* debug) {
    const auto end = taken.at + taken.bytes.size();
    if (end < left_there_) {
        taken.bytes.append(end_behind(end, salt_));
    } else {
        file_->PrepareWrite(written_, end - written_, options, debug);  // what a dead log left is allocated
    }
    taken.bytes.fill_up(piece_bytes_);
    const Slice pieces(taken.bytes.data(), taken.bytes.size());
    auto status = positioned_ ? file_->PositionedAppend(pieces, taken.at, options, debug) : file_->Append(pieces, options, debug);
    if (!status.ok()) {
        return status;
    }
    unsynced_ += end - std::exchange(written_, end);
    whole_ = taken.whole;
    buffers_->give_back(std::move(taken.bytes));
    if (written_ > filled_ && syncs_are_small_ && can_fill_) {
        fill(options, debug);
    }
    return status;
}

IO log_writer::sync(const IOOptions& options, IODebugContext* debug) {
    const auto bytes = std::exchange(unsynced_, 0);
    if (bytes == 0) {
        return IO::OK();
    }
    syncs_are_small_ = bytes <= small_sync;
    return file_->Sync(options, debug);
}

IO log_writer::close(const IOOptions& options, IODebugContext* debug) {
    if (positioned_) {
        file_->Truncate(written_, options, debug).PermitUncheckedError();  // zeros at the end harm nobody
    }
    return file_->Close(options, debug);
}

/// On a full disk, or on a file system that does not write at a position, the log goes on without. Part of what failed may be there: then what is
/// appended would not come where it should.
void log_writer::fill(const IOOptions& options, IODebugContext* debug) {
    const auto until = (written_ / ahead + 1) * ahead;
    for (auto at = (written_ + piece_bytes_ - 1) / piece_bytes_ * piece_bytes_; at < until; at = filled_) {
        const auto bytes = std::min<std::uint64_t>(until - at, zeros.size());
        const auto filled = file_->PositionedAppend(Slice(zeros.data(), bytes), at, options, debug);
        positioned_ = positioned_ || !filled.IsNotSupported();
        if (!filled.ok()) {
            can_fill_ = false;
            return;
        }
        filled_ = at + bytes;
    }
}

}  // namespace millrace::storage
