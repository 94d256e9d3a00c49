#include "tests/power/power_disk.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

#include "tests/power/inode.hpp"

namespace millrace::power {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

constexpr std::uint64_t never = ~std::uint64_t{0};

struct name_change {
    std::string erased, set;  // either may be empty
    std::shared_ptr<inode> file;
};

std::string normal(const std::string& path) {
    auto text = std::filesystem::path(path).lexically_normal().string();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    return text;
}

IO absent(const std::string& name) { return IO::NotFound(name, "no such file"); }

}  // namespace

struct power_disk::platter {
    explicit platter(std::uint64_t seed) : random(seed) {}

    std::mutex mutex;
    sim::random_source random;
    bool power = true;
    bool failed = false;
    std::uint64_t operations = 0, reused = 0;
    std::uint64_t cut_at = never, fail_at = never;
    std::map<std::string, std::shared_ptr<inode>> names, durable_names;
    std::vector<name_change> unsynced_names;
    std::set<std::string> directories{"/"}, locks;

    static IO dead() { return IO::IOError("the power is gone"); }

    /// One operation on a file: `whole` does it, `half` what may have been done of it when it was interrupted.
    template <class Whole, class Half>
    IO perform(Whole whole, Half half) {
        std::lock_guard lock(mutex);
        if (!power) return dead();
        ++operations;
        if (operations == fail_at) {
            fail_at = never;
            failed = true;
            half(true);
            return random.chance(300) ? IO::NoSpace("injected") : IO::IOError("injected");
        }
        if (operations != cut_at) return whole();
        switch (random.below(3)) {
            case 0: break;
            case 1: half(false); break;
            default: whole().PermitUncheckedError();
        }
        lose_power(cut_kind::power);
        return dead();
    }
    template <class Whole>
    IO perform(Whole whole) {
        return perform(whole, [](bool) {});
    }

    void change_name(name_change change) {
        apply(names, change);
        unsynced_names.push_back(std::move(change));
    }
    static void apply(std::map<std::string, std::shared_ptr<inode>>& to, const name_change& change) {
        if (!change.erased.empty()) to.erase(change.erased);
        if (!change.set.empty()) to[change.set] = change.file;
    }
    /// What ext4, XFS and Btrfs do beyond POSIX, and RocksDB relies on when it makes a store: a file that is synced can be found by its name, also where
    /// another one of that name was deleted just before.
    void sync_name_of(const std::shared_ptr<inode>& file) {
        std::set<std::string> named;
        for (auto change = unsynced_names.rbegin(); change != unsynced_names.rend(); ++change) {
            if (change->file == file) named.insert(change->set);
            else if (change->set.empty() && named.contains(change->erased)) change->file = file;  // goes with it
        }
        std::erase_if(unsynced_names, [&](const name_change& change) {
            if (change.file != file) return false;
            apply(durable_names, change);
            return true;
        });
    }
    void sync_names() {
        durable_names = names;
        unsynced_names.clear();
    }

    void lose_power(cut_kind kind) {
        power = false;
        cut_at = fail_at = never;
        if (kind == cut_kind::process) return;
        // A journal keeps a front of the changes; a file system without one, any of them.
        const auto front = random.below(unsynced_names.size() + 1);
        const auto journals = random.chance(700);
        for (std::size_t i = 0; i < unsynced_names.size(); ++i)
            if (journals ? i < front : random.chance(500)) apply(durable_names, unsynced_names[i]);
        names = durable_names;
        unsynced_names.clear();
        std::set<inode*> done;
        for (const auto& [name, file] : names)
            if (done.insert(file.get()).second) file->lose_power(random);
    }

    std::shared_ptr<inode> find(const std::string& name) {
        const auto it = names.find(normal(name));
        return it == names.end() ? nullptr : it->second;
    }
};

namespace {

using platter_ptr = std::shared_ptr<power_disk::platter>;

std::size_t copy_out(const inode& file, std::uint64_t at, std::size_t n, char* to) {
    if (at >= file.bytes().size()) return 0;
    n = std::min<std::size_t>(n, file.bytes().size() - at);
    std::memcpy(to, file.bytes().data() + at, n);
    return n;
}

class reading_in_order final : public rocksdb::FSSequentialFile {
public:
    reading_in_order(platter_ptr on, std::shared_ptr<inode> file) : on_(std::move(on)), file_(std::move(file)) {}

    IO Read(std::size_t n, const IOOptions&, Slice* got, char* scratch, IODebugContext*) override {
        std::lock_guard lock(on_->mutex);
        if (!on_->power) return power_disk::platter::dead();
        n = copy_out(*file_, at_, n, scratch);
        at_ += n;
        *got = {scratch, n};
        return IO::OK();
    }
    IO Skip(std::uint64_t n) override {
        at_ += n;
        return IO::OK();
    }

private:
    const platter_ptr on_;
    const std::shared_ptr<inode> file_;
    std::uint64_t at_ = 0;
};

class reading_anywhere final : public rocksdb::FSRandomAccessFile {
public:
    reading_anywhere(platter_ptr on, std::shared_ptr<inode> file) : on_(std::move(on)), file_(std::move(file)) {}

    IO Read(std::uint64_t at, std::size_t n, const IOOptions&, Slice* got, char* scratch, IODebugContext*) const override {
        std::lock_guard lock(on_->mutex);
        if (!on_->power) return power_disk::platter::dead();
        *got = {scratch, copy_out(*file_, at, n, scratch)};
        return IO::OK();
    }

private:
    const platter_ptr on_;
    const std::shared_ptr<inode> file_;
};

template <class Reading, class File>
IO open_to_read(const platter_ptr& on, const std::string& name, std::unique_ptr<File>& file) {
    std::lock_guard lock(on->mutex);
    if (!on->power) return power_disk::platter::dead();
    const auto found = on->find(name);
    if (!found) return absent(name);
    file = std::make_unique<Reading>(on, found);
    return IO::OK();
}

class writing final : public rocksdb::FSWritableFile {
public:
    /// Appends from `at` on.
    writing(platter_ptr on, std::shared_ptr<inode> file, bool direct, std::uint64_t at = 0) : on_(std::move(on)), file_(std::move(file)), direct_(direct), at_(at) {}

    IO Append(const Slice& data, const IOOptions&, IODebugContext*) override {
        return on_->perform(
            [&] {
                write(data, at_);
                at_ += data.size();
                return IO::OK();
            },
            [&](bool) { at_ += write_part(data, at_); });
    }
    IO PositionedAppend(const Slice& data, std::uint64_t at, const IOOptions&, IODebugContext*) override {
        return on_->perform(
            [&] {
                write(data, at);
                return IO::OK();
            },
            [&](bool) { write_part(data, at); });
    }
    using FSWritableFile::Append;
    using FSWritableFile::PositionedAppend;
    bool use_direct_io() const override { return direct_; }

    IO Truncate(std::uint64_t size, const IOOptions&, IODebugContext*) override {
        return on_->perform([&] {
            file_->truncate(size);
            return IO::OK();
        });
    }
    IO Sync(const IOOptions&, IODebugContext*) override {
        return on_->perform(
            [&] {
                file_->sync();
                on_->sync_name_of(file_);
                return IO::OK();
            },
            [&](bool fails) {
                if (fails) file_->fail_sync();
            });
    }
    // It starts the writing and waits for nothing: no promise.
    IO RangeSync(std::uint64_t, std::uint64_t, const IOOptions&, IODebugContext*) override { return IO::OK(); }
    IO Flush(const IOOptions&, IODebugContext*) override { return IO::OK(); }
    IO Close(const IOOptions&, IODebugContext*) override {
        return on_->perform([] { return IO::OK(); });
    }
    bool IsSyncThreadSafe() const override { return true; }
    std::uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
        std::lock_guard lock(on_->mutex);
        return file_->bytes().size();
    }

private:
    void write(const Slice& data, std::uint64_t at) { file_->write(at, {data.data(), data.size()}); }
    std::size_t write_part(const Slice& data, std::uint64_t at) {
        const auto part = on_->random.below(data.size() + 1);
        write({data.data(), part}, at);
        return part;
    }

    const platter_ptr on_;
    const std::shared_ptr<inode> file_;
    const bool direct_;
    std::uint64_t at_;
};

class directory_handle final : public rocksdb::FSDirectory {
public:
    explicit directory_handle(platter_ptr on) : on_(std::move(on)) {}
    IO Fsync(const IOOptions&, IODebugContext*) override {
        return on_->perform([&] {
            on_->sync_names();
            return IO::OK();
        });
    }

private:
    const platter_ptr on_;
};

struct held_lock final : rocksdb::FileLock {
    explicit held_lock(std::string of) : name(std::move(of)) {}
    const std::string name;
};

}  // namespace

power_disk::power_disk(std::uint64_t seed) : platter_(std::make_shared<platter>(seed)) {}
power_disk::~power_disk() = default;

void power_disk::cut_after(std::uint64_t operations) {
    std::lock_guard lock(platter_->mutex);
    platter_->cut_at = platter_->operations + operations;
}

void power_disk::fail_after(std::uint64_t operations) {
    std::lock_guard lock(platter_->mutex);
    platter_->fail_at = platter_->operations + operations;
}

void power_disk::disarm() {
    std::lock_guard lock(platter_->mutex);
    platter_->cut_at = platter_->fail_at = never;
}

void power_disk::cut(cut_kind kind) {
    std::lock_guard lock(platter_->mutex);
    if (platter_->power) platter_->lose_power(kind);
}

bool power_disk::has_power() const {
    std::lock_guard lock(platter_->mutex);
    return platter_->power;
}

bool power_disk::took_failure() {
    std::lock_guard lock(platter_->mutex);
    return std::exchange(platter_->failed, false);
}

void power_disk::restart() {
    std::lock_guard lock(platter_->mutex);
    platter_->power = true;
    platter_->locks.clear();
}

std::uint64_t power_disk::operations() const {
    std::lock_guard lock(platter_->mutex);
    return platter_->operations;
}

std::uint64_t power_disk::reused() const {
    std::lock_guard lock(platter_->mutex);
    return platter_->reused;
}

std::vector<std::string> power_disk::names() const {
    std::lock_guard lock(platter_->mutex);
    std::vector<std::string> all;
    for (const auto& [name, file] : platter_->names) all.push_back(name);
    return all;
}

std::string& power_disk::bytes_of(const std::string& name) {
    std::lock_guard lock(platter_->mutex);
    return platter_->names.at(name)->bytes();
}

std::shared_ptr<power_disk> power_disk::copy(std::uint64_t seed) const {
    auto made = std::make_shared<power_disk>(seed);
    std::lock_guard lock(platter_->mutex);
    for (const auto& [name, file] : platter_->names) {
        made->platter_->names[name] = std::make_shared<inode>(file->bytes());
    }
    made->platter_->durable_names = made->platter_->names;
    made->platter_->directories = platter_->directories;
    return made;
}

IO power_disk::NewSequentialFile(const std::string& name, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext*) {
    return open_to_read<reading_in_order>(platter_, name, *file);
}

IO power_disk::NewRandomAccessFile(const std::string& name, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSRandomAccessFile>* file, IODebugContext*) {
    return open_to_read<reading_anywhere>(platter_, name, *file);
}

IO power_disk::NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext*) {
    return platter_->perform([&] {
        auto made = std::make_shared<inode>();
        platter_->change_name({{}, normal(name), made});
        *file = std::make_unique<writing>(platter_, std::move(made), options.use_direct_writes);
        return IO::OK();
    });
}

IO power_disk::ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                  IODebugContext*) {
    return platter_->perform([&] {
        auto found = platter_->find(name);
        if (!found) platter_->change_name({{}, normal(name), found = std::make_shared<inode>()});
        const auto end = found->bytes().size();
        *file = std::make_unique<writing>(platter_, std::move(found), options.use_direct_writes, end);
        return IO::OK();
    });
}

IO power_disk::ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions& options,
                                 std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext*) {
    return platter_->perform([&] {
        auto found = platter_->find(old);
        if (!found) return absent(old);
        platter_->change_name({normal(old), normal(name), found});
        ++platter_->reused;
        *file = std::make_unique<writing>(platter_, std::move(found), options.use_direct_writes);
        return IO::OK();
    });
}

IO power_disk::NewDirectory(const std::string& name, const IOOptions&, std::unique_ptr<rocksdb::FSDirectory>* directory, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    if (!platter_->power) return platter::dead();
    if (!platter_->directories.contains(normal(name))) return absent(name);
    *directory = std::make_unique<directory_handle>(platter_);
    return IO::OK();
}

IO power_disk::FileExists(const std::string& name, const IOOptions&, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    if (!platter_->power) return platter::dead();
    return platter_->find(name) || platter_->directories.contains(normal(name)) ? IO::OK() : absent(name);
}

IO power_disk::GetChildren(const std::string& directory, const IOOptions&, std::vector<std::string>* found, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    found->clear();
    if (!platter_->power) return platter::dead();
    const auto parent = normal(directory);
    if (!platter_->directories.contains(parent)) return absent(directory);
    const auto take = [&](const std::string& name) {
        const std::filesystem::path path(name);
        if (path.parent_path() == parent && path.has_filename()) found->push_back(path.filename().string());
    };
    for (const auto& [name, file] : platter_->names) take(name);
    for (const auto& name : platter_->directories) take(name);
    return IO::OK();
}

IO power_disk::DeleteFile(const std::string& name, const IOOptions&, IODebugContext*) {
    return platter_->perform([&] {
        if (!platter_->find(name)) return absent(name);
        platter_->change_name({normal(name), {}, nullptr});
        return IO::OK();
    });
}

// Directories are durable at once: the store makes one, at its first start.
IO power_disk::CreateDir(const std::string& name, const IOOptions&, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    if (!platter_->power) return platter::dead();
    return platter_->directories.insert(normal(name)).second ? IO::OK() : IO::IOError(name, "it exists");
}

IO power_disk::CreateDirIfMissing(const std::string& name, const IOOptions&, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    if (!platter_->power) return platter::dead();
    platter_->directories.insert(normal(name));
    return IO::OK();
}

IO power_disk::DeleteDir(const std::string& name, const IOOptions&, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    return platter_->directories.erase(normal(name)) > 0 ? IO::OK() : absent(name);
}

IO power_disk::GetFileSize(const std::string& name, const IOOptions&, std::uint64_t* size, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    if (!platter_->power) return platter::dead();
    const auto found = platter_->find(name);
    if (!found) return absent(name);
    *size = found->bytes().size();
    return IO::OK();
}

IO power_disk::GetFileModificationTime(const std::string& name, const IOOptions&, std::uint64_t* time, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    *time = 0;
    return platter_->find(name) ? IO::OK() : absent(name);
}

IO power_disk::RenameFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) {
    return platter_->perform([&] {
        const auto file = platter_->find(from);
        if (!file) return absent(from);
        platter_->change_name({normal(from), normal(to), file});
        return IO::OK();
    });
}

IO power_disk::LinkFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) {
    return platter_->perform([&] {
        const auto file = platter_->find(from);
        if (!file) return absent(from);
        platter_->change_name({{}, normal(to), file});
        return IO::OK();
    });
}

IO power_disk::NumFileLinks(const std::string& name, const IOOptions&, std::uint64_t* count, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    const auto file = platter_->find(name);
    if (!file) return absent(name);
    *count = static_cast<std::uint64_t>(std::count_if(platter_->names.begin(), platter_->names.end(), [&](const auto& named) { return named.second == file; }));
    return IO::OK();
}

IO power_disk::Truncate(const std::string& name, std::size_t size, const IOOptions&, IODebugContext*) {
    return platter_->perform([&] {
        const auto file = platter_->find(name);
        if (!file) return absent(name);
        file->truncate(size);
        return IO::OK();
    });
}

IO power_disk::LockFile(const std::string& name, const IOOptions&, rocksdb::FileLock** lock, IODebugContext*) {
    std::lock_guard guard(platter_->mutex);
    if (!platter_->power) return platter::dead();
    if (!platter_->locks.insert(normal(name)).second) return IO::IOError(name, "it is locked");
    if (!platter_->find(name)) platter_->change_name({{}, normal(name), std::make_shared<inode>()});
    *lock = new held_lock(normal(name));
    return IO::OK();
}

IO power_disk::UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) {
    const std::unique_ptr<held_lock> held(static_cast<held_lock*>(lock));
    std::lock_guard guard(platter_->mutex);
    platter_->locks.erase(held->name);
    return IO::OK();
}

IO power_disk::GetTestDirectory(const IOOptions&, std::string* path, IODebugContext*) {
    path->assign(1, '/');
    return IO::OK();
}

IO power_disk::GetAbsolutePath(const std::string& path, const IOOptions&, std::string* absolute, IODebugContext*) {
    *absolute = normal(path);
    return IO::OK();
}

IO power_disk::IsDirectory(const std::string& path, const IOOptions&, bool* is, IODebugContext*) {
    std::lock_guard lock(platter_->mutex);
    if (!platter_->power) return platter::dead();
    *is = platter_->directories.contains(normal(path));
    return *is || platter_->find(path) ? IO::OK() : absent(path);
}

IO power_disk::GetFreeSpace(const std::string&, const IOOptions&, std::uint64_t* free, IODebugContext*) {
    *free = std::uint64_t{1} << 40;
    return IO::OK();
}

}  // namespace millrace::power
