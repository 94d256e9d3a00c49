#include "broker/storage/rocksdb_directory.hpp"

#include <filesystem>
#include <memory>

namespace millrace::storage {
namespace {

const rocksdb::IOOptions plain;

error make_directory(rocksdb::FileSystem& files, const std::string& directory) {
    auto parent = std::filesystem::path(directory).parent_path().string();
    if (parent.empty()) {
        parent = ".";
    }
    bool is_directory = false;
    if (!files.IsDirectory(parent, plain, &is_directory, nullptr).ok() || !is_directory) {
        return {errc::storage_failure, "there is no directory " + parent + " in which the store " + directory + " could be made; make it first"};
    }
    const auto made = files.CreateDirIfMissing(directory, plain, nullptr);
    if (!made.ok()) {
        return {errc::storage_failure, "the store's directory " + directory + " cannot be made: " + made.ToString()};
    }
    return {};
}

rocksdb::IOStatus try_to_write(rocksdb::FileSystem& files, const std::string& path, bool direct_io) {
    rocksdb::FileOptions options;
    options.use_direct_writes = direct_io;
    std::unique_ptr<rocksdb::FSWritableFile> file;
    auto status = files.NewWritableFile(path, options, &file, nullptr);
    if (status.ok()) {
        status = file->Close(plain, nullptr);
        files.DeleteFile(path, plain, nullptr).PermitUncheckedError();
    }
    return status;
}

}  // namespace

error prepare_directory(rocksdb::FileSystem& files, const std::string& directory, bool& direct_io) {
    bool is_directory = false;
    const auto found = files.IsDirectory(directory, plain, &is_directory, nullptr);
    if (found.ok() && !is_directory) {
        return {errc::storage_failure, directory + " is not a directory; name the folder that holds, or shall hold, a store"};
    }
    if (!found.ok()) {
        if (error refused = make_directory(files, directory)) {
            return refused;
        }
    }
    const auto probe = directory + "/direct_io.probe";
    direct_io = try_to_write(files, probe, true).ok();
    const auto written = direct_io ? rocksdb::IOStatus::OK() : try_to_write(files, probe, false);
    if (written.IsNoSpace()) {
        return {errc::disk_full, "the disk of the store " + directory + " is full; free some space and start again"};
    }
    if (!written.ok()) {
        return {errc::storage_failure, "the store's directory " + directory + " cannot be written; check its owner and rights: " + written.ToString()};
    }
    return {};
}

bool is_locked(rocksdb::FileSystem& files, const std::string& directory) {
    rocksdb::FileLock* lock = nullptr;
    if (!files.LockFile(directory + "/LOCK", plain, &lock, nullptr).ok()) {
        return true;
    }
    files.UnlockFile(lock, plain, nullptr).PermitUncheckedError();
    return false;
}

}  // namespace millrace::storage
