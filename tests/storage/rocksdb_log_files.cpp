// The log is filled with zeros ahead while syncs are small, and is a log like any other after a crash; a failed sync ends all writing and syncing.
#include "broker/storage/rocksdb_log_files.hpp"

#include <atomic>
#include <catch2/catch.hpp>

#include "broker/storage/page_buffer.hpp"
#include "broker/storage/rocksdb_log_writer.hpp"
#include "tests/storage/crash_image.hpp"
#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

/// Refuses to write at a position, and so past the page cache; for want of space, zeros alone.
class append_only_file_system final : public rocksdb::FileSystemWrapper {
public:
    explicit append_only_file_system(rocksdb::IOStatus refusal) : FileSystemWrapper(rocksdb::FileSystem::Default()), refusal_(std::move(refusal)) {}
    const char* Name() const override { return "append_only"; }

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override {
        if (options.use_direct_writes && !refusal_.IsNoSpace()) return refusal_;
        auto status = FileSystemWrapper::NewWritableFile(name, options, file, debug);
        if (status.ok()) *file = std::make_unique<append_only_file>(std::move(*file), refusal_);
        return status;
    }

private:
    class append_only_file final : public rocksdb::FSWritableFileOwnerWrapper {
    public:
        append_only_file(std::unique_ptr<rocksdb::FSWritableFile> file, const rocksdb::IOStatus& refusal)
            : FSWritableFileOwnerWrapper(std::move(file)), refusal_(refusal) {}
        rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t at, const rocksdb::IOOptions& options,
                                           rocksdb::IODebugContext* debug) override {
            const auto is_zero = data.ToStringView().find_first_not_of('\0') == std::string_view::npos;
            return refusal_.IsNoSpace() && !is_zero ? FSWritableFileOwnerWrapper::PositionedAppend(data, at, options, debug) : refusal_;
        }

    private:
        const rocksdb::IOStatus refusal_;
    };

    const rocksdb::IOStatus refusal_;
};

/// By more than the rest of a page, which a log that is written in pages has in any case.
bool is_filled_ahead(const crash_image& image) { return fs::file_size(image.log()) >= image.end() + page_bytes; }

std::size_t entries_in(const rocksdb_options& options) {
    const auto opened = open_or_fail(options);
    open_shard(*opened);
    return read_texts(*opened, partition(1)).size();
}

/// What a crash leaves of a store with ten small groups.
std::unique_ptr<crash_image> image_of_small_groups(rocksdb_options options) {
    const scratch_directory scratch;
    options.directory = scratch.path();
    const auto live = open_or_fail(options);
    const auto epoch = open_shard(*live);
    for (std::uint64_t i = 0; i < 10; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i)));
    }
    return std::make_unique<crash_image>(scratch.path());
}

/// Fails one sync.
class failing_sync final : public rocksdb::FileSystemWrapper {
public:
    failing_sync() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
    const char* Name() const override { return "failing_sync"; }

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override {
        auto status = FileSystemWrapper::NewWritableFile(name, options, file, debug);
        if (status.ok()) *file = std::make_unique<failing_file>(std::move(*file), fails);
        return status;
    }

    std::atomic<bool> fails{false};

private:
    class failing_file final : public rocksdb::FSWritableFileOwnerWrapper {
    public:
        failing_file(std::unique_ptr<rocksdb::FSWritableFile> file, std::atomic<bool>& fails) : FSWritableFileOwnerWrapper(std::move(file)), fails_(fails) {}
        rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
            return fails_.exchange(false) ? rocksdb::IOStatus::IOError("injected") : FSWritableFileOwnerWrapper::Sync(options, debug);
        }

    private:
        std::atomic<bool>& fails_;
    };
};

std::unique_ptr<rocksdb::FSWritableFile> new_log(log_files& logs, const fs::path& path) {
    std::unique_ptr<rocksdb::FSWritableFile> log;
    REQUIRE(logs.NewWritableFile(path.string(), {}, &log, nullptr).ok());
    return log;
}

}  // namespace

TEST_CASE("small groups are written over zeros that are there, and are all found after a crash, and after another") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    for (std::uint64_t i = 0; i < 300; ++i) {  // more than is filled at a time
        REQUIRE_FALSE(commit(*live, epoch, numbered(i, 2000)));
    }
    const crash_image image(scratch.path());
    CHECK(is_filled_ahead(image));
    CHECK(fs::file_size(image.log()) <= image.end() + (256u << 10));
    {
        const auto opened = open_or_fail(options_for(image.path));
        CHECK(read_texts(*opened, partition(1)).size() == 300);
        REQUIRE_FALSE(commit(*opened, open_shard(*opened), numbered(300)));
        const crash_image again(image.path);
        CHECK(entries_in(options_for(again.path)) == 301);
    }
    CHECK(entries_in(options_for(image.path)) == 301);
}

TEST_CASE("large groups are written once, also behind small ones") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    for (std::uint64_t i = 0; i < 40; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i, i < 10 ? 100 : 20'000)));
    }
    const crash_image image(scratch.path());
    CHECK_FALSE(is_filled_ahead(image));
    CHECK(entries_in(options_for(image.path)) == 40);
}

TEST_CASE("a log that is closed ends where its last batch does") {
    const scratch_directory scratch;
    auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    for (std::uint64_t i = 0; i < 3; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i)));
    }
    live.reset();
    const crash_image image(scratch.path());
    CHECK(fs::file_size(image.log()) < image.end() + sizeof(std::uint64_t));  // the last batch is a mark, which ends in a number
    CHECK(entries_in(options_for(image.path)) == 3);
}

TEST_CASE("a log that cannot be filled ahead is written all the same") {
    const auto refusal = GENERATE(0, 1) == 0 ? rocksdb::IOStatus::NotSupported("at a position") : rocksdb::IOStatus::NoSpace("for zeros");
    auto options = options_for({});
    options.file_system = std::make_shared<append_only_file_system>(refusal);
    const auto image = image_of_small_groups(options);
    CHECK_FALSE(is_filled_ahead(*image));
    CHECK(entries_in(options_for(image->path)) == 10);
}

TEST_CASE("after RocksDB's own sync of a log has failed nothing is synced, nor written to any log") {
    const scratch_directory scratch;
    const auto files = std::make_shared<failing_sync>();
    log_files logs(files, true);
    const auto closed = new_log(logs, scratch.path() / "000001.log");
    const auto next = new_log(logs, scratch.path() / "000002.log");
    REQUIRE(closed->Append("words", {}, nullptr).ok());
    REQUIRE(next->Append("more", {}, nullptr).ok());
    files->fails = true;
    CHECK_FALSE(closed->Sync({}, nullptr).ok());
    CHECK_FALSE(closed->Sync({}, nullptr).ok());  // as it would, now that the pages are taken for clean
    const auto failed = logs.sync();
    CHECK(failed.code == errc::sync_failed);
    CHECK(failed.what.find("000001.log") != std::string::npos);
    CHECK_FALSE(next->Append("words", {}, nullptr).ok());
    CHECK_FALSE(next->Sync({}, nullptr).ok());
    CHECK(next->Close({}, nullptr).ok());
    CHECK(fs::file_size(scratch.path() / "000002.log") == 0);
}

TEST_CASE("a log that RocksDB has closed is not synced any more, one that it has synced not again") {
    const scratch_directory scratch;
    const auto files = std::make_shared<failing_sync>();
    log_files logs(files, true);
    auto closed = new_log(logs, scratch.path() / "000001.log");
    const auto synced = new_log(logs, scratch.path() / "000002.log");
    REQUIRE(closed->Append("words", {}, nullptr).ok());
    REQUIRE(synced->Append("words", {}, nullptr).ok());
    REQUIRE(synced->Sync({}, nullptr).ok());
    REQUIRE(closed->Close({}, nullptr).ok());
    files->fails = true;
    CHECK_FALSE(logs.sync());
    CHECK(files->fails);
    REQUIRE(synced->Append("words", {}, nullptr).ok());
    CHECK(logs.sync().code == errc::sync_failed);
}

TEST_CASE("a batch goes to the file with the sync that it waits for, and at once where nothing is synced") {
    const auto synced = GENERATE(true, false);
    const scratch_directory scratch;
    log_files logs(rocksdb::FileSystem::Default(), synced);
    const auto path = scratch.path() / "000001.log";
    const auto log = new_log(logs, path);
    REQUIRE(log->Append("first", {}, nullptr).ok());
    REQUIRE(log->Append(", last", {}, nullptr).ok());
    CHECK(fs::file_size(path) == 0);
    REQUIRE(log->Flush({}, nullptr).ok());
    CHECK(fs::file_size(path) == (synced ? 0 : 11));
    CHECK_FALSE(logs.sync());
    CHECK(fs::file_size(path) >= 11);  // zeros may follow
    CHECK(log->GetFileSize({}, nullptr) == 11);
}

TEST_CASE("what nobody waits for is written by who appends it, before it fills the memory") {
    const scratch_directory scratch;
    log_files logs(rocksdb::FileSystem::Default(), true);
    const auto path = scratch.path() / "000001.log";
    const auto log = new_log(logs, path);
    constexpr std::size_t batch = 1u << 20;
    std::size_t waiting_most = 0;
    for (std::size_t i = 1; i <= 40; ++i) {
        REQUIRE(log->Append(std::string(batch, 'x'), {}, nullptr).ok());
        REQUIRE(log->Flush({}, nullptr).ok());
        waiting_most = std::max<std::size_t>(waiting_most, i * batch - fs::file_size(path));
    }
    CHECK(waiting_most < 8 * batch);
    logs.write();
    CHECK(fs::file_size(path) == 40 * batch);
}

TEST_CASE("no log is written while one in front of it is not: what a kill leaves has no hole") {
    const scratch_directory scratch;
    log_files logs(rocksdb::FileSystem::Default(), true);
    const auto former = new_log(logs, scratch.path() / "000001.log");
    const auto next = new_log(logs, scratch.path() / "000002.log");
    REQUIRE(former->Append("words", {}, nullptr).ok());
    REQUIRE(former->Flush({}, nullptr).ok());
    REQUIRE(next->Append(std::string(20u << 20, 'x'), {}, nullptr).ok());
    CHECK(fs::file_size(scratch.path() / "000001.log") == 0);
    REQUIRE(next->Flush({}, nullptr).ok());
    CHECK(fs::file_size(scratch.path() / "000002.log") == 20u << 20);
    CHECK(fs::file_size(scratch.path() / "000001.log") == 5);
}

TEST_CASE("a level that syncs nothing fills nothing") {
    auto options = options_for({});
    options.level = durability::buffered;
    const auto image = image_of_small_groups(options);
    CHECK(fs::file_size(image->log()) == image->end());
}

TEST_CASE("what is gathered begins at a page and stays while there comes more") {
    page_buffer buffer;
    std::string expected;
    for (std::size_t i = 0; expected.size() < 5u << 20; ++i) {
        const std::string more(1 + i * 977 % (100u << 10), static_cast<char>('a' + i % 26));
        expected += more;
        buffer.append(more);
        REQUIRE(reinterpret_cast<std::uintptr_t>(buffer.data()) % page_bytes == 0);
        REQUIRE(buffer.bytes().size() == expected.size());
        REQUIRE((i % 16 != 0 || buffer.bytes() == expected));
    }
    CHECK((buffer.bytes() == expected));
    const auto moved = std::move(buffer);
    CHECK((moved.bytes() == expected));
    CHECK(buffer.capacity() == 0);
}

TEST_CASE("a log that begins over a dead one leaves the large buffers to those that need them") {
    const scratch_directory scratch;
    const auto buffers = std::make_shared<page_buffers>();
    page_buffer large;
    large.append(std::string(1u << 20, 'x'));
    buffers->give_back(std::move(large));
    std::unique_ptr<rocksdb::FSWritableFile> file;
    REQUIRE(rocksdb::FileSystem::Default()->NewWritableFile(scratch.path() / "000007.log", {}, &file, nullptr).ok());
    log_writer log(std::move(file), 7, 64u << 10, false, buffers);
    REQUIRE(log.begin().ok());
    CHECK(buffers->take().capacity() >= 1u << 20);
    CHECK(buffers->take().capacity() == 0);
}

}  // namespace millrace::storage
