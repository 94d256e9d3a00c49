// What the rocksdb: engine says of its disk, and what it does when the disk is nearly full.
#include <rocksdb/file_system.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "broker/storage/rocksdb_disk.hpp"
#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

constexpr std::uint64_t mebibyte = 1u << 20;

/// The local file system, on a disk of which as much is free as the test says.
class sized_file_system final : public rocksdb::FileSystemWrapper {
public:
    explicit sized_file_system(std::uint64_t bytes) : FileSystemWrapper(rocksdb::FileSystem::Default()), free(bytes) {}

    const char* Name() const override { return "sized"; }

    rocksdb::IOStatus GetFreeSpace(const std::string&, const rocksdb::IOOptions&, std::uint64_t* bytes, rocksdb::IODebugContext*) override {
        if (!says) {
            return rocksdb::IOStatus::NotSupported("free space");
        }
        *bytes = free;
        return rocksdb::IOStatus::OK();
    }

    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
    rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override;

    rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        if (path.ends_with("/ballast")) {
            is_full = false;
        }
        return target()->DeleteFile(path, options, debug);
    }

    std::atomic<std::uint64_t> free;
    std::atomic<bool> says{true};
    std::atomic<bool> is_full{false};
    std::atomic<int> refused{0};
};

/// A full disk: each write leaves its first half and fails, until the ballast is deleted.
class full_file final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    full_file(std::unique_ptr<rocksdb::FSWritableFile> file, const std::atomic<bool>& is_full, std::atomic<int>& refused)
        : FSWritableFileOwnerWrapper(std::move(file)), is_full_(is_full), refused_(refused) {}

    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        if (!is_full_) {
            return FSWritableFileOwnerWrapper::Append(data, options, debug);
        }
        FSWritableFileOwnerWrapper::Append({data.data(), data.size() / 2}, options, debug).PermitUncheckedError();
        return refuse();
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options, const rocksdb::DataVerificationInfo&,
                             rocksdb::IODebugContext* debug) override {
        return Append(data, options, debug);
    }
    rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        return is_full_ ? refuse() : FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
    }
    rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset, const rocksdb::IOOptions& options, const rocksdb::DataVerificationInfo&,
                                       rocksdb::IODebugContext* debug) override {
        return PositionedAppend(data, offset, options, debug);
    }

private:
    rocksdb::IOStatus refuse() {
        ++refused_;
        return rocksdb::IOStatus::NoSpace("the disk is full");
    }

    const std::atomic<bool>& is_full_;
    std::atomic<int>& refused_;
};

rocksdb::IOStatus sized_file_system::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                                     std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) {
    auto status = target()->NewWritableFile(path, options, file, debug);
    if (status.ok()) {
        *file = std::make_unique<full_file>(std::move(*file), is_full, refused);
    }
    return status;
}

rocksdb::IOStatus sized_file_system::ReuseWritableFile(const std::string& path, const std::string& old, const rocksdb::FileOptions& options,
                                                       std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) {
    auto status = target()->ReuseWritableFile(path, old, options, file, debug);
    if (status.ok()) {
        *file = std::make_unique<full_file>(std::move(*file), is_full, refused);
    }
    return status;
}

struct sized_engine {
    scratch_directory scratch;
    std::shared_ptr<sized_file_system> files;

    explicit sized_engine(std::uint64_t bytes) : files(std::make_shared<sized_file_system>(bytes)) {}

    std::unique_ptr<store> open(std::optional<std::uint64_t> reserve = {}) const {
        rocksdb_options options;
        options.directory = scratch.path() / "store";
        options.file_system = files;
        options.disk_reserve = reserve;
        return open_or_fail(options);
    }

    std::filesystem::path ballast() const { return scratch.path() / "store" / "ballast"; }
    bool has_ballast() const { return std::filesystem::exists(ballast()); }

    bool comes_to(bool has) const {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (has_ballast() != has) {
            if (std::chrono::steady_clock::now() > deadline) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        return true;
    }
};

}  // namespace

TEST_CASE("the reserve is all memtables and 1 GiB, and an eighth of a small disk, what is asked for, when it is") {
    const auto free = GENERATE(256 * mebibyte, 1024 * mebibyte, mebibyte * mebibyte);
    sized_engine engine(free);
    const auto reserve = std::min(free / 8, 1216 * mebibyte);
    CHECK(engine.open()->space() == disk_space{free, reserve});
    CHECK(engine.open(7 * mebibyte)->space() == disk_space{free, 7 * mebibyte});
    CHECK(std::filesystem::file_size(engine.ballast()) >= std::min(free * 3 / 32, 192 * mebibyte) - 32);
}

TEST_CASE("the reserve of a small disk does not shrink as it fills") {
    sized_engine engine(256 * mebibyte);
    const auto empty = engine.open()->space();
    engine.files->free = 256 * mebibyte - std::filesystem::file_size(engine.ballast());
    const auto opened = engine.open();
    CHECK(opened->space()->reserve >= empty->reserve);
    CHECK(opened->space()->reserve < empty->reserve + mebibyte);
}

TEST_CASE("the ballast is given up when little is left, missed while it is, and made again when there is room for it") {
    sized_engine engine(256 * mebibyte);
    const auto opened = engine.open();
    REQUIRE(engine.has_ballast());
    const auto ballast = std::filesystem::file_size(engine.ballast());
    engine.files->free = 20 * mebibyte;
    CHECK(opened->space()->free == 20 * mebibyte);
    std::this_thread::yield();
    CHECK(engine.has_ballast());

    engine.files->free = 7 * mebibyte;  // of which each memtable takes 4
    REQUIRE(engine.comes_to(false));
    CHECK(opened->space()->free == 0);
    engine.files->free = 32 * mebibyte + ballast - 1;
    CHECK(opened->space()->free == 32 * mebibyte - 1);
    const auto epoch = open_shard(*opened);
    CHECK_FALSE(commit(*opened, epoch, {append(partition(1), 0, 0, "a")}));
    CHECK_FALSE(engine.has_ballast());
    engine.files->free = 32 * mebibyte + ballast;
    CHECK(engine.comes_to(true));
}

TEST_CASE("the ballast is given up when what is in memory might not fit") {
    sized_engine engine(256 * mebibyte);
    const auto opened = engine.open();
    const auto epoch = open_shard(*opened);
    const auto text = std::string(mebibyte, 'x');
    for (std::uint64_t i = 0; i < 3; ++i) CHECK_FALSE(commit(*opened, epoch, {append(partition(1), i, i, text)}));
    engine.files->free = 10 * mebibyte;  // two memtables, of 4 each, and less than what is in memory
    CHECK(engine.comes_to(false));
}

TEST_CASE("a write that finds the disk full gives the ballast up and is repeated, and what of it was there is written over") {
    sized_engine engine(256 * mebibyte);
    constexpr std::uint64_t entries = 24;  // of 1 MiB: some memtables, of 4 each, are written out
    const auto text = [](std::uint64_t i) { return std::string(mebibyte, static_cast<char>('a' + i)); };
    const auto full_from = GENERATE(0u, 3u, 11u);
    {
        const auto opened = engine.open();
        const auto epoch = open_shard(*opened);
        CHECK(engine.has_ballast());
        for (std::uint64_t i = 0; i < entries; ++i) {
            if (i == full_from) engine.files->is_full = true;
            REQUIRE_FALSE(commit(*opened, epoch, {append(partition(1), i, i, text(i))}));
        }
        CHECK(engine.files->refused > 0);
    }
    const auto opened = engine.open();
    const auto found = read_texts(*opened, partition(1));
    REQUIRE(found.size() == entries);
    for (std::uint64_t i = 0; i < entries; ++i) CHECK(found[i].text == text(i));
}

TEST_CASE("tables and manifests that find the disk full give the ballast up, and are whole with their copies") {
    sized_engine engine(256 * mebibyte);
    {
        const auto opened = engine.open();
        const auto epoch = open_shard(*opened);
        for (std::uint64_t i = 0; i < 3; ++i) REQUIRE_FALSE(commit(*opened, epoch, {append(partition(1), i, i, std::string(mebibyte, 'x'))}));
    }
    engine.files->is_full = true;  // what was not written out is when the store opens
    const auto opened = engine.open();
    CHECK(engine.files->refused == 1);
    CHECK(read_texts(*opened, partition(1)).size() == 3);
    CHECK_FALSE(commit(*opened, open_shard(*opened), {append(partition(1), 3, 3, "y")}));
}

TEST_CASE("a disk that stays full without the ballast fails the write") {
    sized_engine engine(256 * mebibyte);
    const auto opened = engine.open();
    const auto epoch = open_shard(*opened);
    engine.files->free = 0;
    engine.files->is_full = true;
    CHECK(commit(*opened, epoch, {append(partition(1), 0, 0, "x")}).code == errc::outcome_unknown);
    CHECK_FALSE(engine.has_ballast());
}

TEST_CASE("a disk is scarce when less than twice the reserve is free") {
    sized_engine engine(1024 * mebibyte);
    rocksdb_options options;
    options.directory = engine.scratch.path();
    options.file_system = engine.files;
    options.ballast_bytes = mebibyte;
    options.disk_reserve = 100 * mebibyte;
    const rocksdb_disk disk(fit_to_disk(options));
    engine.files->free = 201 * mebibyte;  // of which the ballast will take one
    CHECK_FALSE(disk.is_scarce());
    --engine.files->free;
    CHECK(disk.is_scarce());
}

TEST_CASE("a file system that does not say what is free has no reserve, and works") {
    sized_engine engine(0);
    engine.files->says = false;
    const auto opened = engine.open();
    CHECK(opened->space() == std::nullopt);
    CHECK_FALSE(commit(*opened, open_shard(*opened), {append(partition(1), 0, 0, "a")}));
}

TEST_CASE("on a scarce disk the log and what was freed go while commits go on") {
    sized_engine engine(512 * mebibyte);
    const auto opened = engine.open();
    const auto epoch = open_shard(*opened);
    const auto text = std::string(mebibyte, 'x');
    const auto on_disk = [&] {
        std::uintmax_t bytes = 0;
        std::error_code vanished;
        for (const auto& file : std::filesystem::directory_iterator(engine.ballast().parent_path(), vanished)) {
            const auto size = file.path() == engine.ballast() ? 0 : file.file_size(vanished);
            bytes += vanished ? 0 : size;
        }
        return bytes;
    };
    constexpr std::uint64_t entries = 100;
    for (std::uint64_t i = 0; i < entries; ++i) {
        REQUIRE_FALSE(commit(*opened, epoch, {append(partition(1), i, i, text)}));
    }
    for (std::uint64_t i = 0; i < entries; ++i) {
        REQUIRE_FALSE(commit(*opened, epoch, {free_of(partition(1), i)}));
    }
    engine.files->free = 64 * mebibyte;  // less than twice the reserve, also with the spare logs
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(25);  // under load 30 s pass on a disk that is not scarce
    std::uint64_t commits = 0;
    while (on_disk() > 8 * mebibyte && std::chrono::steady_clock::now() < deadline) {
        REQUIRE_FALSE(commit(*opened, epoch, {core::put_row{"row", std::to_string(++commits)}}));
    }
    CHECK(on_disk() <= 8 * mebibyte);
}

TEST_CASE("spare logs count as free, and go when the disk is scarce") {
    sized_engine engine(512 * mebibyte);
    const auto files = rocksdb::FileSystem::Default();
    rocksdb_options options;
    options.directory = engine.scratch.path();
    options.file_system = engine.files;
    rocksdb_disk disk(fit_to_disk(options));
    disk.tend(0);
    const auto log = (engine.scratch.path() / "000007.log").string();
    const auto spare = log + ".spare";
    REQUIRE(rocksdb::WriteStringToFile(files.get(), std::string(mebibyte, 'x'), log).ok());
    const auto before = disk.space()->free;
    REQUIRE(disk.spares().keep(log).ok());
    CHECK(disk.space()->free == before + mebibyte);
    disk.tend(0);
    CHECK(std::filesystem::exists(spare));
    SECTION("when it is looked at") {
        engine.files->free = 64 * mebibyte;
        disk.tend(0);
    }
    SECTION("by a write that finds it full") { disk.make_room(1); }
    CHECK_FALSE(std::filesystem::exists(spare));
    CHECK(disk.spares().bytes() == 0);
}

}  // namespace millrace::storage
