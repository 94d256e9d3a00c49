// The disk comes back when entries are freed.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <thread>

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

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

bool shrinks_to(const std::filesystem::path& directory, std::uintmax_t bytes) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (blob_bytes(directory) > bytes) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
}

constexpr std::uint64_t entry_count = 300;
constexpr std::size_t entry_size = 1u << 20;

void fill(store& to, core::fencing_epoch epoch) {
    const auto text = std::string(entry_size, 'x');
    for (std::uint64_t i = 0; i < entry_count; ++i) {
        REQUIRE_FALSE(commit(to, epoch, {append(partition(1), i, i, text)}));
    }
}

/// Whoever reads a blob waits at the gate once it is shut.
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

class gated_blobs final : public rocksdb::FileSystemWrapper {
public:
    explicit gated_blobs(gate& at) : FileSystemWrapper(rocksdb::FileSystem::Default()), at_(at) {}

    const char* Name() const override { return "gated"; }

    rocksdb::IOStatus NewRandomAccessFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                          rocksdb::IODebugContext* debug) override {
        auto status = target()->NewRandomAccessFile(name, options, file, debug);
        if (status.ok() && name.ends_with(".blob")) *file = std::make_unique<gated_file>(std::move(*file), at_);
        return status;
    }

private:
    gate& at_;
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

TEST_CASE("what a read held back when its entry was freed goes when the store is idle") {
    const scratch_directory scratch;
    const auto options = fit_to_disk(options_for(scratch.path()));
    gate reading;
    const auto env = rocksdb::NewCompositeEnv(std::make_shared<gated_blobs>(reading));
    rocksdb::DB* opened = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> all;
    const std::vector<rocksdb::ColumnFamilyDescriptor> described{{"default", tuned_default(options)}, {"entries", tuned_entries(options, nullptr)}};
    REQUIRE(rocksdb::DB::Open(tuned_database(options, env.get(), false), scratch.path().string(), described, &all, &opened).ok());
    const std::unique_ptr<rocksdb::DB> database(opened);
    auto* const entries = all.at(1);
    for (const auto* key : {"first", "second"}) REQUIRE(database->Put({}, entries, key, std::string(entry_size, 'x')).ok());
    REQUIRE(database->Flush({}, entries).ok());

    reading.shut();
    auto read = std::async(std::launch::async, [&] {
        std::string value;
        return database->Get({}, entries, "first", &value).ok() && value.size() == entry_size;
    });
    reading.wait_for_somebody();
    for (const auto* key : {"first", "second"}) REQUIRE(database->Delete({}, entries, key).ok());
    REQUIRE(database->CompactRange({}, entries, nullptr, nullptr).ok());
    reading.open();
    CHECK(read.get());
    CHECK(blob_bytes(scratch.path()) > 0);  // else RocksDB sees to it by itself, and the engine need not
    {
        rocksdb_disk disk(options);
        const rocksdb_reclaim reclaim(*database, {all.at(0), all.at(0), entries}, disk, [] {});
        CHECK(shrinks_to(scratch.path(), 0));
    }
    for (auto* family : all) database->DestroyColumnFamilyHandle(family).PermitUncheckedError();
}

}  // namespace millrace::storage
