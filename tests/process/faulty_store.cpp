// millraced-faulty: the broker on a disk that fails and crawls when a test says so, while it runs, and at a door where somebody leaves. What the test says (faults.hpp)
// are files in the directory named by MILLRACE_FAULTS:
//   fail-write   the next write to a log fails as an I/O error; the file is removed, so it is one
//   fail-sync    the next sync of the newest log, likewise: of one that a commit waits for
//   slow         while it is there, each sync takes as many milliseconds as it holds, and each write to a log a tenth of that
//   abort-accept the next connection is gone by the time it is accepted; the file is removed (faulty_door.cpp)
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "broker/local_file_system.hpp"

namespace millrace {
namespace {

class faults {
public:
    faults() {
        const auto* named = std::getenv("MILLRACE_FAULTS");
        directory_ = named ? named : "/nonexistent";
    }

    rocksdb::IOStatus strike(const char* fault) const {
        if (::unlink((directory_ + "/" + fault).c_str()) != 0) return rocksdb::IOStatus::OK();
        return rocksdb::IOStatus::IOError("injected", fault);
    }

    void note_log(const std::string& name) {
        std::lock_guard lock(mutex_);
        newest_log_ = name;
    }

    bool is_newest(const std::string& name) const {
        std::lock_guard lock(mutex_);
        return newest_log_ == name;
    }

    void crawl(int share) const {
        std::ifstream slow(directory_ + "/slow");
        int milliseconds = 0;
        if (slow >> milliseconds) std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds / share));
    }

private:
    std::string directory_;
    mutable std::mutex mutex_;
    std::string newest_log_;
};

class faulty_log final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    faulty_log(std::unique_ptr<rocksdb::FSWritableFile> file, std::string name, const faults& of)
        : FSWritableFileOwnerWrapper(std::move(file)), name_(std::move(name)), faults_(of) {}

    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        return write([&] { return FSWritableFileOwnerWrapper::Append(data, options, debug); });
    }
    rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t at, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        return write([&] { return FSWritableFileOwnerWrapper::PositionedAppend(data, at, options, debug); });
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        if (auto struck = strike_sync(); !struck.ok()) return struck;
        faults_.crawl(1);
        return FSWritableFileOwnerWrapper::Sync(options, debug);
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        if (auto struck = strike_sync(); !struck.ok()) return struck;
        faults_.crawl(1);
        return FSWritableFileOwnerWrapper::Fsync(options, debug);
    }

private:
    template <class Write>
    rocksdb::IOStatus write(Write how) {
        if (auto struck = faults_.strike("fail-write"); !struck.ok()) return struck;
        faults_.crawl(10);
        return how();
    }
    rocksdb::IOStatus strike_sync() const { return faults_.is_newest(name_) ? faults_.strike("fail-sync") : rocksdb::IOStatus::OK(); }

    const std::string name_;
    const faults& faults_;
};

/// Files that are no logs crawl too; only logs fail, so that a test knows what it hit.
class slow_file final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    slow_file(std::unique_ptr<rocksdb::FSWritableFile> file, const faults& of) : FSWritableFileOwnerWrapper(std::move(file)), faults_(of) {}

    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        faults_.crawl(1);
        return FSWritableFileOwnerWrapper::Sync(options, debug);
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        faults_.crawl(1);
        return FSWritableFileOwnerWrapper::Fsync(options, debug);
    }

private:
    const faults& faults_;
};

class faulty_file_system final : public rocksdb::FileSystemWrapper {
public:
    faulty_file_system() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

    const char* Name() const override { return "faulty"; }

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override {
        return with_faults(target()->NewWritableFile(name, options, file, debug), name, *file);
    }
    rocksdb::IOStatus ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override {
        return with_faults(target()->ReuseWritableFile(name, old, options, file, debug), name, *file);
    }

private:
    rocksdb::IOStatus with_faults(rocksdb::IOStatus opened, const std::string& name, std::unique_ptr<rocksdb::FSWritableFile>& file) {
        if (!opened.ok()) return opened;
        if (!name.ends_with(".log")) {
            file = std::make_unique<slow_file>(std::move(file), faults_);
            return opened;
        }
        faults_.note_log(name);
        file = std::make_unique<faulty_log>(std::move(file), name, faults_);
        return opened;
    }

    faults faults_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> local_file_system() { return std::make_shared<faulty_file_system>(); }

}  // namespace millrace
