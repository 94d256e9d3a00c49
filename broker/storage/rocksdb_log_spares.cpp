#include "broker/storage/rocksdb_log_spares.hpp"

#include <filesystem>
#include <numeric>
#include <string_view>
#include <utility>

#include "broker/storage/rocksdb_files.hpp"

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;

const rocksdb::IOOptions plain;
constexpr std::string_view suffix = ".spare";  // RocksDB leaves names alone that it does not know
constexpr std::size_t kept_max = 4;            // as many logs die together: all that hold what was flushed

}  // namespace

log_spares::log_spares(std::shared_ptr<rocksdb::FileSystem> files, std::string directory) : files_(std::move(files)), directory_(std::move(directory)) {}

void log_spares::admit(bool has_room) {
    {
        std::lock_guard lock(mutex_);
        admitted_ = has_room;
    }
    if (!has_room) {
        drop();
    }
}

void log_spares::drop_leftovers() {
    std::vector<std::string> names;
    files_->GetChildren(directory_, plain, &names, nullptr).PermitUncheckedError();
    for (const auto& name : names) {
        if (name.ends_with(suffix)) {
            files_->DeleteFile(directory_ + "/" + name, plain, nullptr).PermitUncheckedError();
        }
    }
}

IO log_spares::keep(const std::string& log) {
    spare kept{log + std::string(suffix)};
    if (!can_keep(log) || !files_->GetFileSize(log, plain, &kept.bytes, nullptr).ok() || kept.bytes == 0) {
        return IO::NotSupported("not kept");
    }
    auto status = files_->RenameFile(log, kept.path, plain, nullptr);
    if (!status.ok()) {
        return status;
    }
    status = sync_names(*files_, directory_);
    return status.ok() && add(kept) ? status : files_->DeleteFile(kept.path, plain, nullptr);
}

bool log_spares::can_keep(const std::string& log) {
    {
        std::lock_guard lock(mutex_);
        if (!admitted_ || kept_.size() >= kept_max) {
            return false;
        }
    }
    std::uint64_t links = 0;
    return std::filesystem::path(log).parent_path() == directory_ && files_->NumFileLinks(log, plain, &links, nullptr).ok() && links == 1;
}

bool log_spares::add(spare kept) {
    std::lock_guard lock(mutex_);
    if (admitted_) {  // still
        kept_.push_back(std::move(kept));
    }
    return admitted_;
}

std::optional<log_spares::spare> log_spares::take_for(const std::string& log) {
    std::lock_guard lock(mutex_);
    if (kept_.empty() || std::filesystem::path(log).parent_path() != directory_) {
        return std::nullopt;
    }
    auto taken = std::move(kept_.back());
    kept_.pop_back();
    return taken;
}

void log_spares::drop() {
    std::vector<spare> dropped;
    {
        std::lock_guard lock(mutex_);
        dropped = std::exchange(kept_, {});
    }
    for (const auto& each : dropped) {
        files_->DeleteFile(each.path, plain, nullptr).PermitUncheckedError();
    }
}

std::uint64_t log_spares::bytes() const {
    std::lock_guard lock(mutex_);
    return std::accumulate(kept_.begin(), kept_.end(), std::uint64_t{0}, [](std::uint64_t sum, const spare& each) { return sum + each.bytes; });
}

}  // namespace millrace::storage
