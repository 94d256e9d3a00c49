#include "broker/storage/rocksdb_room.hpp"

#include <utility>

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

using room_maker = std::function<bool(std::uint64_t)>;

/// RocksDB writes to it from one thread at a time.
class insistent_file final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    insistent_file(std::unique_ptr<rocksdb::FSWritableFile> file, const room_maker& make_room)
        : FSWritableFileOwnerWrapper(std::move(file)), make_room_(make_room) {}

    IO Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
        auto status = positioned_ ? PositionedAppend(data, end_, options, debug) : FSWritableFileOwnerWrapper::Append(data, options, debug);
        if (status.IsNoSpace() && !positioned_ && make_room_(data.size())) {
            auto repeated = PositionedAppend(data, end_, options, debug);
            positioned_ = !repeated.IsNotSupported();
            if (positioned_) {
                status = std::move(repeated);
            }
        }
        if (status.ok()) {
            end_ += positioned_ ? 0 : data.size();
        }
        return status;
    }

    IO Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
        return Append(data, options, debug);
    }

    IO PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options, IODebugContext* debug) override {
        auto status = FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
        if (status.IsNoSpace() && make_room_(data.size())) {
            status = FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
        }
        if (status.ok()) {
            end_ = offset + data.size();
        }
        return status;
    }

    IO PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
        return PositionedAppend(data, offset, options, debug);
    }

    IO Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
        auto status = FSWritableFileOwnerWrapper::Truncate(size, options, debug);
        if (status.ok()) {
            end_ = size;
        }
        return status;
    }

private:
    const room_maker& make_room_;
    std::uint64_t end_ = 0;    // of what was written
    bool positioned_ = false;  // an append failed, and part of it may be there: what is appended is written to end_, not to where the file ends
};

class insistent_file_system final : public rocksdb::FileSystemWrapper {
public:
    insistent_file_system(std::shared_ptr<rocksdb::FileSystem> files, std::string directory, room_maker make_room)
        : FileSystemWrapper(std::move(files)), prefix_(std::move(directory) + '/'), make_room_(std::move(make_room)) {}

    const char* Name() const override { return "making_room"; }

    IO NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                       IODebugContext* debug) override {
        return open(path, file, [&] { return target()->NewWritableFile(path, options, file, debug); });
    }

    IO ReuseWritableFile(const std::string& path, const std::string& old, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                         IODebugContext* debug) override {
        return open(path, file, [&] { return target()->ReuseWritableFile(path, old, options, file, debug); });
    }

private:
    template <class Open>
    IO open(const std::string& path, std::unique_ptr<rocksdb::FSWritableFile>* file, Open opened) {
        auto status = opened();
        if (!path.starts_with(prefix_)) {
            return status;
        }
        if (status.IsNoSpace() && make_room_(0)) {
            status = opened();
        }
        if (status.ok()) {
            *file = std::make_unique<insistent_file>(std::move(*file), make_room_);
        }
        return status;
    }

    const std::string prefix_;
    const room_maker make_room_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> making_room(std::shared_ptr<rocksdb::FileSystem> files, std::string directory, room_maker make_room) {
    return std::make_shared<insistent_file_system>(std::move(files), std::move(directory), std::move(make_room));
}

}  // namespace millrace::storage
