// The disk comes back when entries are freed.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <thread>

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include "broker/storage/rocksdb_keys.hpp"
#include "broker/storage/rocksdb_reclaim.hpp"
#include "broker/storage/rocksdb_tuning.hpp"
#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

std::uintmax_t blob_bytes(const std::filesystem::path& directory) {
    std::uintmax_t bytes = 0;
    std::error_code vanished;  // files go while this looks
    for (const auto& file : std::filesystem::directory_iterator(directory, vanished)) {
        if (file.path().extension() == ".blob") {
            const auto size = file.file_size(vanished);
            bytes += vanished ? 0 : size;
        }
    }
    return bytes;
}

template <class Condition>
bool comes_true(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
}

bool shrinks_to(const std::filesystem::path& directory, std::uintmax_t bytes) {
    return comes_true([&] { return blob_bytes(directory) <= bytes; });
}

constexpr std::uint64_t entry_count = 300;
constexpr std::size_t entry_size = 1u << 20;

void fill(store& to, core::fencing_epoch epoch) {
    const auto text = std::string(entry_size, 'x');
    for (std::uint64_t i = 0; i < entry_count; ++i) {
        REQUIRE_FALSE(commit(to, epoch, {append(partition(1), i, i, text)}));
    }
}

/// Who comes to it first after it was shut waits until it is opened.
class gate {
public:
    void shut() { is_shut_ = true; }
    void open() { opens_.set_value(); }
    void wait_for_somebody() { arrives_.get_future().wait(); }
    void pass() {
        if (!is_shut_.exchange(false)) return;
        arrives_.set_value();
        opens_.get_future().wait();
    }

private:
    std::atomic<bool> is_shut_{false};
    std::promise<void> arrives_, opens_;
};

class gated_file final : public rocksdb::FSRandomAccessFileOwnerWrapper {
public:
    gated_file(std::unique_ptr<rocksdb::FSRandomAccessFile> file, gate& at) : FSRandomAccessFileOwnerWrapper(std::move(file)), at_(at) {}

    rocksdb::IOStatus Read(std::uint64_t offset, std::size_t n, const rocksdb::IOOptions& options, rocksdb::Slice* result, char* scratch,
                           rocksdb::IODebugContext* debug) const override {
        at_.pass();
        return FSRandomAccessFileOwnerWrapper::Read(offset, n, options, result, scratch, debug);
    }

private:
    gate& at_;
};

class gated_log final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    gated_log(std::unique_ptr<rocksdb::FSWritableFile> file, gate& at) : FSWritableFileOwnerWrapper(std::move(file)), at_(at) {}

    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        at_.pass();
        return FSWritableFileOwnerWrapper::Sync(options, debug);
    }

private:
    gate& at_;
};

/// Whoever reads a blob comes to one gate, whoever syncs a log to the other.
class gated_files final : public rocksdb::FileSystemWrapper {
public:
    gated_files(std::shared_ptr<rocksdb::FileSystem> files, gate& reading, gate& syncing) : FileSystemWrapper(std::move(files)), reading_(reading), syncing_(syncing) {}

    const char* Name() const override { return "gated"; }

    rocksdb::IOStatus NewRandomAccessFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                          rocksdb::IODebugContext* debug) override {
        auto status = target()->NewRandomAccessFile(name, options, file, debug);
        if (status.ok() && name.ends_with(".blob")) *file = std::make_unique<gated_file>(std::move(*file), reading_);
        return status;
    }

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override {
        auto status = target()->NewWritableFile(name, options, file, debug);
        if (status.ok() && name.ends_with(".log")) *file = std::make_unique<gated_log>(std::move(*file), syncing_);
        return status;
    }
    rocksdb::IOStatus ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override {
        auto status = target()->ReuseWritableFile(name, old, options, file, debug);
        if (status.ok()) *file = std::make_unique<gated_log>(std::move(*file), syncing_);
        return status;
    }

private:
    gate& reading_;
    gate& syncing_;
};

/// On a large disk. Whoever asks what is free, as the engine does when it looks after the space, has something to do first.
class watched_files final : public rocksdb::FileSystemWrapper {
public:
    watched_files() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

    const char* Name() const override { return "watched"; }

    rocksdb::IOStatus GetFreeSpace(const std::string&, const rocksdb::IOOptions&, std::uint64_t* bytes, rocksdb::IODebugContext*) override {
        if (before_asking) before_asking();
        ++asked;
        *bytes = std::uint64_t{1} << 40;
        return rocksdb::IOStatus::OK();
    }
    rocksdb::IOStatus GetChildren(const std::string& directory, const rocksdb::IOOptions& options, std::vector<std::string>* names,
                                  rocksdb::IODebugContext* debug) override {
        ++listed;
        return target()->GetChildren(directory, options, names, debug);
    }

    std::function<void()> before_asking;
    std::atomic<int> asked{0}, listed{0};
};

/// RocksDB as the engine tunes it, without the engine.
struct bare_database {
    explicit bare_database(rocksdb_options chosen) : options(fit_to_disk(std::move(chosen))) {
        const std::vector<rocksdb::ColumnFamilyDescriptor> described{{"default", tuned_default(options)}, {"entries", tuned_entries(options, nullptr)}};
        rocksdb::DB* opened = nullptr;
        REQUIRE(rocksdb::DB::Open(tuned_database(options, env.get(), false), options.directory.string(), described, &families, &opened).ok());
        database.reset(opened);
    }
    ~bare_database() {
        for (auto* family : families) database->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    }

    rocksdb_reclaim::families of_reclaim() const { return {families[0], families[0], families[1]}; }

    const rocksdb_options options;
    gate reading, syncing;
    const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(std::make_shared<gated_files>(files_of(options), reading, syncing));
    std::vector<rocksdb::ColumnFamilyHandle*> families;
    std::unique_ptr<rocksdb::DB> database;
};

}  // namespace

TEST_CASE("the space of freed entries comes back when the store is idle") {
    const scratch_directory scratch;
    auto options = options_for(scratch.path());
    options.memtable_bytes = 16u << 20;  // a blob file holds entries of which some stay
    auto opened = open_or_fail(options);
    const auto epoch = open_shard(*opened);
    fill(*opened, epoch);
    REQUIRE(blob_bytes(scratch.path()) > entry_count * entry_size / 2);

    SECTION("all were freed") {
        for (std::uint64_t i = 0; i < entry_count; ++i) {
            REQUIRE_FALSE(commit(*opened, epoch, {free_of(partition(1), i)}));
        }
        CHECK(shrinks_to(scratch.path(), 0));
    }
    SECTION("all but every tenth were freed: those are moved together") {
        for (std::uint64_t i = 0; i < entry_count; ++i) {
            if (i % 10 != 0) {
                REQUIRE_FALSE(commit(*opened, epoch, {free_of(partition(1), i)}));
            }
        }
        CHECK(shrinks_to(scratch.path(), entry_count * entry_size / 5));
        CHECK(read_texts(*opened, partition(1)).size() == entry_count / 10);
    }
    SECTION("all were freed, and the store was closed before it came to it") {
        for (std::uint64_t i = 0; i < entry_count; ++i) {
            REQUIRE_FALSE(commit(*opened, epoch, {free_of(partition(1), i)}));
        }
        opened.reset();
        opened = open_or_fail(options);
        CHECK(shrinks_to(scratch.path(), 0));
    }
    SECTION("the partition was dropped") {
        REQUIRE_FALSE(commit(*opened, epoch, {core::drop_partition{partition(1)}}));
        CHECK(shrinks_to(scratch.path(), 0));
    }
}

TEST_CASE("blob files of which just half is free are moved together") {
    const scratch_directory scratch;
    auto options = options_for(scratch.path());
    options.file_system = std::make_shared<watched_files>();
    options.disk_reserve = std::uint64_t{1} << 60;  // so the disk is scarce, and little is worthwhile
    options.memtable_bytes = 64u << 20;             // so nothing is flushed by itself
    bare_database bare(options);
    auto& database = *bare.database;
    auto* const entries = bare.families[1];
    constexpr std::uint64_t count = 16;
    for (std::uint64_t i = 0; i < count; ++i) REQUIRE(database.Put({}, entries, entry_key(partition(1), {i}), std::string(entry_size, 'x')).ok());
    REQUIRE(database.Flush({}, entries).ok());
    for (std::uint64_t i = 1; i < count; i += 2) REQUIRE(database.SingleDelete({}, entries, entry_key(partition(1), {i})).ok());
    REQUIRE(blob_bytes(scratch.path()) > count * entry_size);
    rocksdb_disk disk(bare.options);
    const rocksdb_reclaim reclaim(database, bare.of_reclaim(), disk, [] {});
    CHECK(shrinks_to(scratch.path(), count / 2 * entry_size + entry_size / 2));
}

TEST_CASE("under load, on a disk that is not scarce, what was freed waits, and nobody looks for files that are not needed any more") {
    const scratch_directory scratch;
    const auto files = std::make_shared<watched_files>();
    auto options = options_for(scratch.path());
    options.file_system = files;
    bare_database bare(options);
    REQUIRE(bare.database->Put({}, bare.families[1], entry_key(partition(1), {0}), std::string(entry_size, 'x')).ok());
    std::promise<rocksdb_reclaim*> made;
    files->before_asking = [reclaim = made.get_future().share()] { reclaim.get()->note({}); };  // so there is a commit in front of every look
    const auto asked = files->asked.load(), listed = files->listed.load();
    rocksdb_disk disk(bare.options);
    rocksdb_reclaim reclaim(*bare.database, bare.of_reclaim(), disk, [] {});
    reclaim.note({free_of(partition(1), 0)});
    made.set_value(&reclaim);
    REQUIRE(comes_true([&] { return files->asked > asked + 6; }));  // twice in a look: three are over
    CHECK(files->listed == listed);
    CHECK(blob_bytes(scratch.path()) == 0);  // it is in memory as before
}

TEST_CASE("what a read held back when its entry was freed goes when the store is idle") {
    const scratch_directory scratch;
    bare_database bare(options_for(scratch.path()));
    auto& database = *bare.database;
    auto* const entries = bare.families[1];
    for (const auto* key : {"first", "second"}) REQUIRE(database.Put({}, entries, key, std::string(entry_size, 'x')).ok());
    REQUIRE(database.Flush({}, entries).ok());

    bare.reading.shut();
    auto read = std::async(std::launch::async, [&] {
        std::string value;
        return database.Get({}, entries, "first", &value).ok() && value.size() == entry_size;
    });
    bare.reading.wait_for_somebody();
    for (const auto* key : {"first", "second"}) REQUIRE(database.Delete({}, entries, key).ok());
    REQUIRE(database.CompactRange({}, entries, nullptr, nullptr).ok());
    bare.reading.open();
    CHECK(read.get());
    CHECK(blob_bytes(scratch.path()) > 0);  // else RocksDB sees to it by itself, and the engine need not
    rocksdb_disk disk(bare.options);
    const rocksdb_reclaim reclaim(database, bare.of_reclaim(), disk, [] {});
    CHECK(shrinks_to(scratch.path(), 0));
}

TEST_CASE("a flush that RocksDB has forgotten is asked for again: space comes back, and the store ends") {
    const scratch_directory scratch;
    bare_database bare(options_for(scratch.path()));
    auto& database = *bare.database;
    auto* const entries = bare.families[1];
    const auto unwritten = [&] {
        std::uint64_t memtables = 0;
        REQUIRE(database.GetIntProperty(entries, rocksdb::DB::Properties::kNumImmutableMemTable, &memtables));
        return memtables;
    };
    rocksdb::FlushOptions begun;
    begun.wait = false;
    rocksdb_disk disk(bare.options);
    rocksdb_reclaim reclaim(database, bare.of_reclaim(), disk, [] {});

    // A flush of two full memtables has begun, and syncs the log in front of it: which memtables it takes is said already.
    bare.syncing.shut();
    std::uint64_t last = 0;
    for (; unwritten() < 2; ++last) REQUIRE(database.Put({}, entries, entry_key(partition(1), {last}), std::string(entry_size, 'x')).ok());
    bare.syncing.wait_for_somebody();
    for (std::uint64_t i = 0; i < last; ++i) REQUIRE(database.SingleDelete({}, entries, entry_key(partition(1), {i})).ok());
    reclaim.note({free_of(partition(1), 0), free_of(partition(1), last - 1)});
    REQUIRE(comes_true([&] { return unwritten() == 3; }));  // it wants to compact, and waits for the third as well

    bare.syncing.open();
    CHECK(comes_true([&] { return unwritten() == 0; }));
    database.Flush(begun, entries).PermitUncheckedError();  // else a failure of this test would never end
}

}  // namespace millrace::storage
