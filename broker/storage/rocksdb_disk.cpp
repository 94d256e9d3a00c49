#include "broker/storage/rocksdb_disk.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "broker/storage/rocksdb_tuning.hpp"

namespace millrace::storage {
namespace {

constexpr std::uint64_t mebibyte = 1u << 20;
constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();
const rocksdb::IOOptions plain;

std::uint64_t free_of(rocksdb::FileSystem& files, const std::filesystem::path& directory) {
    std::uint64_t free = 0;
    const auto place = files.FileExists(directory.string(), plain, nullptr).ok() ? directory : directory.parent_path();  // it is made in there
    return files.GetFreeSpace(place.empty() ? "." : place.string(), plain, &free, nullptr).ok() ? free : unknown;
}

std::uint64_t held_in(rocksdb::FileSystem& files, const std::string& directory) {
    std::vector<rocksdb::Env::FileAttributes> found;
    files.GetChildrenFileAttributes(directory, plain, &found, nullptr).PermitUncheckedError();
    std::uint64_t bytes = 0;
    for (const auto& file : found) {
        bytes += file.size_bytes;
    }
    return bytes;
}

template <class Size>
void limit(Size& size, std::uint64_t most) {
    size = static_cast<Size>(std::min<std::uint64_t>(size, std::max(most, mebibyte)));
}

}  // namespace

std::shared_ptr<rocksdb::FileSystem> files_of(const rocksdb_options& options) {
    return options.file_system ? options.file_system : rocksdb::FileSystem::Default();
}

// The shares add up: 6 memtables (3/32) and the next log (1/64) fit into the reserve (1/8); what a recovery writes out of the logs (1/16, and what came
// while they were written out) fits into the ballast (3/32).
rocksdb_options fit_to_disk(rocksdb_options options) {
    const auto files = files_of(options);
    const auto free = free_of(*files, options.directory);
    const auto room = free == unknown ? unknown : free + held_in(*files, options.directory.string());
    limit(options.memtable_bytes, room / 64);
    limit(options.log_bytes, room / 16);
    limit(options.ballast_bytes, room / 32 * 3);
    if (!options.disk_reserve) {
        options.disk_reserve = std::min(memtables_kept * options.memtable_bytes + 1024 * mebibyte, room / 8);
    }
    return options;
}

rocksdb_disk::rocksdb_disk(const rocksdb_options& fitted)
    : options_(fitted), files_(files_of(fitted)), ballast_((fitted.directory / "ballast").string()), spares_(files_, fitted.directory.string()) {
    std::uint64_t size = 0;
    has_ballast_ = files_->GetFileSize(ballast_, plain, &size, nullptr).ok() && size >= options_.ballast_bytes / 2;  // shares differ a little from start to start
}

std::uint64_t rocksdb_disk::free_bytes() const {
    return free_of(*files_, options_.directory);
}

std::optional<disk_space> rocksdb_disk::space() const {
    const auto free = free_bytes();
    if (free == unknown) {
        return std::nullopt;
    }
    const auto owed = has_ballast_ || !can_preallocate_ ? 0 : options_.ballast_bytes;
    const auto unused = free + spares_.bytes();
    return disk_space{unused - std::min(unused, owed), reserve()};
}

bool rocksdb_disk::is_scarce() const {
    const auto found = space();
    return found && found->free < 2 * found->reserve;
}

void rocksdb_disk::tend(std::uint64_t unwritten) {
    spares_.admit(!is_scarce());
    const auto free = free_bytes();
    const std::uint64_t more = 2 * options_.memtable_bytes;
    if (has_ballast_ && free < unwritten + more) {
        give_up_ballast();
    } else if (!has_ballast_ && free != unknown && free >= std::max(reserve(), unwritten + 2 * more) + options_.ballast_bytes) {
        make_ballast();
    }
}

void rocksdb_disk::give_up_ballast() {
    std::lock_guard lock(ballast_mutex_);
    has_ballast_ = false;
    if (!files_->DeleteFile(ballast_, plain, nullptr).ok()) {
        return;
    }
    options_.tell("the disk of the store " + options_.directory.string() + " is full: the ballast of " + std::to_string(options_.ballast_bytes / mebibyte) +
                  " MiB is given up, so that what is stored can still be consumed; make room");
}

bool rocksdb_disk::make_room(std::uint64_t bytes) {
    spares_.admit(false);
    give_up_ballast();
    return free_bytes() > bytes;
}

// Where files cannot be preallocated there is no ballast, and the reserve has to do.
void rocksdb_disk::make_ballast() {
    std::lock_guard lock(ballast_mutex_);
    if (!can_preallocate_) {
        return;
    }
    rocksdb::FileOptions options;
    options.fallocate_with_keep_size = false;  // it shows how large it is
    std::unique_ptr<rocksdb::FSWritableFile> file;
    auto made = files_->NewWritableFile(ballast_, options, &file, nullptr);
    if (made.ok()) {
        made = file->Allocate(0, options_.ballast_bytes, plain, nullptr);
        file->Close(plain, nullptr).PermitUncheckedError();
    }
    std::uint64_t size = 0;
    has_ballast_ = made.ok() && files_->GetFileSize(ballast_, plain, &size, nullptr).ok() && size == options_.ballast_bytes;
    if (!has_ballast_) {
        can_preallocate_ = made.IsNoSpace();
        files_->DeleteFile(ballast_, plain, nullptr).PermitUncheckedError();
    }
}

}  // namespace millrace::storage
