#include "broker/storage/rocksdb_files.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

namespace millrace::storage {
namespace {

const rocksdb::IOOptions plain;
constexpr std::size_t read_bytes = 1u << 20;

}  // namespace

rocksdb::IOStatus replace_file(rocksdb::FileSystem& files, const std::string& path, const std::function<rocksdb::IOStatus(rocksdb::FSWritableFile&)>& write) {
    const auto made = path + ".new";
    std::unique_ptr<rocksdb::FSWritableFile> to;
    auto status = files.NewWritableFile(made, {}, &to, nullptr);
    if (status.ok()) {
        status = write(*to);
    }
    if (status.ok()) {
        status = to->Sync(plain, nullptr);
    }
    if (status.ok()) {
        status = to->Close(plain, nullptr);
    }
    return status.ok() ? files.RenameFile(made, path, plain, nullptr) : status;
}

rocksdb::IOStatus append_file(rocksdb::FileSystem& files, const std::string& path, rocksdb::FSWritableFile& to, std::uint64_t bytes_max) {
    std::unique_ptr<rocksdb::FSSequentialFile> from;
    auto status = files.NewSequentialFile(path, {}, &from, nullptr);
    const auto buffer = std::make_unique_for_overwrite<char[]>(read_bytes);
    while (status.ok() && bytes_max > 0) {
        rocksdb::Slice got;
        status = from->Read(std::min<std::uint64_t>(read_bytes, bytes_max), plain, &got, buffer.get(), nullptr);
        if (!status.ok() || got.empty()) {
            break;
        }
        bytes_max -= got.size();
        status = to.Append(got, plain, nullptr);
    }
    return status;
}

rocksdb::IOStatus fill(rocksdb::FSSequentialFile& file, char* buffer, std::size_t size, std::size_t& filled) {
    for (filled = 0; filled < size;) {
        rocksdb::Slice got;
        auto status = file.Read(size - filled, plain, &got, buffer + filled, nullptr);
        if (!status.ok()) {
            return status;
        }
        if (got.empty()) {
            break;
        }
        if (got.data() != buffer + filled) {
            std::memmove(buffer + filled, got.data(), got.size());
        }
        filled += got.size();
    }
    return rocksdb::IOStatus::OK();
}

rocksdb::IOStatus sync_names(rocksdb::FileSystem& files, const std::string& directory) {
    std::unique_ptr<rocksdb::FSDirectory> opened;
    auto status = files.NewDirectory(directory, plain, &opened, nullptr);
    return status.ok() ? opened->Fsync(plain, nullptr) : status;
}

}  // namespace millrace::storage
