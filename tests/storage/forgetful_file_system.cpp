#include "tests/storage/forgetful_file_system.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace millrace::storage {
namespace {

bool ends_with(const std::string& name, const std::string& suffix) {
    return name.size() >= suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
}

rocksdb::IOStatus status_of(file_fault fault, const std::string& name) {
    return fault == file_fault::no_space ? rocksdb::IOStatus::NoSpace("injected", name) : rocksdb::IOStatus::IOError("injected", name);
}

}  // namespace

struct forgetful_file_system::shared_state {
    std::mutex mutex;
    std::optional<fault_plan> writes;
    std::optional<fault_plan> syncs;
    std::optional<fault_plan> new_files;
    std::map<std::string, std::uint64_t> durable_bytes;  // of files made here that were written beyond them
    std::atomic<bool> forgotten{false};
    std::atomic<std::uint64_t> sync_count{0};
    std::atomic<std::int64_t> sync_delay_us{0};

    rocksdb::IOStatus strike(std::optional<fault_plan>& plan, const std::string& name) {
        std::lock_guard lock(mutex);
        if (!plan || !ends_with(name, plan->suffix) || plan->after-- > 0) {
            return rocksdb::IOStatus::OK();
        }
        const auto status = status_of(plan->fault, name);
        if (plan->lasts) {
            plan->after = 0;
        } else {
            plan.reset();
        }
        return status;
    }
};

namespace {

/// Wraps a file: `held_` is what the operating system would have in its cache.
class forgetful_file final : public rocksdb::FSWritableFile {
public:
    forgetful_file(std::string name, std::unique_ptr<rocksdb::FSWritableFile> file, std::shared_ptr<forgetful_file_system::shared_state> state,
                   std::uint64_t size, std::uint64_t at)
        : name_(std::move(name)), file_(std::move(file)), state_(std::move(state)), size_(size), durable_(size), at_(at) {}

    ~forgetful_file() override {
        if (file_) {
            Close({}, nullptr).PermitUncheckedError();
        }
    }

    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        auto status = PositionedAppend(data, at_, options, debug);
        at_ += status.ok() ? data.size() : 0;
        return status;
    }
    rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t at, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
        if (state_->forgotten) {
            return rocksdb::IOStatus::IOError("forgotten", name_);
        }
        if (auto struck = state_->strike(state_->writes, name_); !struck.ok()) {
            return struck;
        }
        std::lock_guard lock(mutex_);
        held_.emplace_back(at, data.ToString());
        size_ = std::max(size_, at + data.size());
        return rocksdb::IOStatus::OK();
    }
    using rocksdb::FSWritableFile::Append;
    using rocksdb::FSWritableFile::PositionedAppend;

    /// At the end of its life alone: what is cut need not be forgotten.
    rocksdb::IOStatus Truncate(std::uint64_t size, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        std::lock_guard lock(mutex_);
        if (state_->forgotten) {
            return rocksdb::IOStatus::OK();
        }
        auto status = pass_on(options, debug);
        size_ = std::min(size_, size);
        durable_ = std::min(durable_, size);
        return status.ok() ? file_->Truncate(size, options, debug) : status;
    }
    rocksdb::IOStatus Flush(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return rocksdb::IOStatus::OK(); }
    bool IsSyncThreadSafe() const override { return true; }
    std::uint64_t GetFileSize(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
        std::lock_guard lock(mutex_);
        return size_;
    }

    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        if (state_->forgotten) {
            return rocksdb::IOStatus::IOError("forgotten", name_);
        }
        const std::chrono::microseconds delay(state_->sync_delay_us.load());
        if (delay.count() > 0) {
            std::this_thread::sleep_for(delay);
        }
        if (auto struck = state_->strike(state_->syncs, name_); !struck.ok()) {
            return struck;
        }
        ++state_->sync_count;
        std::lock_guard lock(mutex_);
        auto status = pass_on(options, debug);
        if (status.ok()) {
            durable_ = size_;
            remember(durable_);
        }
        return status;
    }

    rocksdb::IOStatus RangeSync(std::uint64_t, std::uint64_t, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        return Sync(options, debug);
    }

    rocksdb::IOStatus Allocate(std::uint64_t offset, std::uint64_t bytes, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        return file_->Allocate(offset, bytes, options, debug);
    }

    rocksdb::IOStatus Close(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        std::lock_guard lock(mutex_);
        if (!state_->forgotten && file_) {
            auto status = pass_on(options, debug);
            if (!status.ok()) {
                return status;
            }
            remember(durable_);
        }
        const auto closing = std::exchange(file_, nullptr);
        return closing ? closing->Close(options, debug) : rocksdb::IOStatus::OK();
    }

private:
    rocksdb::IOStatus pass_on(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) {
        for (const auto& [at, bytes] : held_) {
            if (auto status = file_->PositionedAppend(bytes, at, options, debug); !status.ok()) {
                return status;
            }
        }
        held_.clear();
        return file_->Flush(options, debug);
    }

    void remember(std::uint64_t bytes) {
        std::lock_guard lock(state_->mutex);
        state_->durable_bytes[name_] = bytes;
    }

    const std::string name_;
    std::unique_ptr<rocksdb::FSWritableFile> file_;
    const std::shared_ptr<forgetful_file_system::shared_state> state_;
    std::mutex mutex_;
    std::vector<std::pair<std::uint64_t, std::string>> held_;  // and where
    std::uint64_t size_;
    std::uint64_t durable_;
    std::uint64_t at_;  // where the next append goes
};

// The bytes pass through memory here, so the file below is an ordinary one.
rocksdb::FileOptions buffered(rocksdb::FileOptions options) {
    options.use_direct_writes = false;
    options.use_mmap_writes = false;
    return options;
}

}  // namespace

forgetful_file_system::forgetful_file_system() : FileSystemWrapper(rocksdb::FileSystem::Default()), state_(std::make_shared<shared_state>()) {}
forgetful_file_system::~forgetful_file_system() = default;

void forgetful_file_system::forget() {
    state_->forgotten = true;
    std::lock_guard lock(state_->mutex);
    for (const auto& [name, bytes] : state_->durable_bytes) {
        std::uint64_t size = 0;
        if (target()->GetFileSize(name, {}, &size, nullptr).ok() && size > bytes) {
            target()->Truncate(name, bytes, {}, nullptr).PermitUncheckedError();
        }
    }
}

void forgetful_file_system::fail_writes(const fault_plan& plan) {
    std::lock_guard lock(state_->mutex);
    state_->writes = plan;
}

void forgetful_file_system::fail_syncs(const fault_plan& plan) {
    std::lock_guard lock(state_->mutex);
    state_->syncs = plan;
}

void forgetful_file_system::fail_new_files(const fault_plan& plan) {
    std::lock_guard lock(state_->mutex);
    state_->new_files = plan;
}

void forgetful_file_system::heal() {
    std::lock_guard lock(state_->mutex);
    state_->writes.reset();
    state_->syncs.reset();
    state_->new_files.reset();
}

void forgetful_file_system::slow_syncs(std::chrono::microseconds each) {
    state_->sync_delay_us = each.count();
}

std::uint64_t forgetful_file_system::syncs() const {
    return state_->sync_count;
}

rocksdb::IOStatus forgetful_file_system::NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                                         std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) {
    if (auto struck = state_->strike(state_->new_files, name); !struck.ok()) {
        return struck;
    }
    std::unique_ptr<rocksdb::FSWritableFile> below;
    auto status = target()->NewWritableFile(name, buffered(options), &below, debug);
    if (status.ok()) {
        *file = std::make_unique<forgetful_file>(name, std::move(below), state_, 0, 0);
    }
    return status;
}

rocksdb::IOStatus forgetful_file_system::ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                                            std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) {
    std::unique_ptr<rocksdb::FSWritableFile> below;
    std::uint64_t size = 0;
    target()->GetFileSize(name, {}, &size, debug).PermitUncheckedError();
    auto status = target()->ReopenWritableFile(name, buffered(options), &below, debug);
    if (status.ok()) {
        *file = std::make_unique<forgetful_file>(name, std::move(below), state_, size, size);
    }
    return status;
}

rocksdb::IOStatus forgetful_file_system::ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions& options,
                                                           std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) {
    if (auto struck = state_->strike(state_->new_files, name); !struck.ok()) {
        return struck;
    }
    std::unique_ptr<rocksdb::FSWritableFile> below;
    std::uint64_t size = 0;
    target()->GetFileSize(old, {}, &size, debug).PermitUncheckedError();
    auto status = target()->ReuseWritableFile(name, old, buffered(options), &below, debug);
    if (status.ok()) {
        moved(old, name);
        *file = std::make_unique<forgetful_file>(name, std::move(below), state_, size, 0);
    }
    return status;
}

rocksdb::IOStatus forgetful_file_system::DeleteFile(const std::string& name, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) {
    {
        std::lock_guard lock(state_->mutex);
        state_->durable_bytes.erase(name);
    }
    return target()->DeleteFile(name, options, debug);
}

rocksdb::IOStatus forgetful_file_system::RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                                                    rocksdb::IODebugContext* debug) {
    moved(from, to);
    return target()->RenameFile(from, to, options, debug);
}

void forgetful_file_system::moved(const std::string& from, const std::string& to) {
    std::lock_guard lock(state_->mutex);
    if (auto file = state_->durable_bytes.extract(from)) {
        file.key() = to;
        state_->durable_bytes.erase(to);
        state_->durable_bytes.insert(std::move(file));
    }
}

}  // namespace millrace::storage
