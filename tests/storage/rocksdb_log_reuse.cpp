// Logs are written over dead ones, and what those left is never taken for theirs: not by RocksDB, not by the scan, not after any crash.
#include <catch2/catch.hpp>
#include <functional>
#include <utility>

#include "broker/storage/rocksdb_log_files.hpp"
#include "broker/storage/rocksdb_log_records.hpp"
#include "broker/storage/rocksdb_log_scan.hpp"
#include "broker/storage/rocksdb_log_spares.hpp"
#include "tests/storage/crash_image.hpp"
#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

rocksdb::FileSystem& local() { return *rocksdb::FileSystem::Default(); }

std::vector<std::string> names_ending(const fs::path& directory, const std::string& suffix) {
    std::vector<std::string> names;
    for (const auto& file : fs::directory_iterator(directory)) {
        if (file.path().string().ends_with(suffix)) {
            names.push_back(file.path().filename().string());
        }
    }
    return names;
}

std::string bytes_in(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Without salt, as RocksDB writes it: one record, or fragments to the blocks' ends. `at` is where it begins.
std::string records_of(const std::string& batch, std::size_t at = 0) {
    std::string bytes;
    for (std::size_t from = 0;;) {
        const auto room = block - (at + bytes.size()) % block;
        const auto fragment = batch.substr(from, room - record_header_bytes);
        const auto ends = from + fragment.size() == batch.size();
        const auto type = from == 0 ? (ends ? record_type::full : record_type::first) : ends ? record_type::last : record_type::middle;
        const auto header = record_header(type, fragment, no_salt);
        bytes.append(header.data(), header.size()).append(fragment);
        from += fragment.size();
        if (ends) return bytes;
    }
}

/// As RocksDB is given it.
std::string read_through(const fs::path& path) {
    log_files logs(rocksdb::FileSystem::Default(), false);
    std::string found;
    REQUIRE(rocksdb::ReadFileToString(&logs, path.string(), &found).ok());
    return found;
}

class noting_file_system final : public rocksdb::FileSystemWrapper {
public:
    noting_file_system() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
    const char* Name() const override { return "noting"; }

    rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
        noted.push_back("rename");
        return target()->RenameFile(from, to, options, debug);
    }
    rocksdb::IOStatus NewDirectory(const std::string& name, const rocksdb::IOOptions& options, std::unique_ptr<rocksdb::FSDirectory>* directory,
                                   rocksdb::IODebugContext* debug) override {
        noted.push_back("sync names");
        return target()->NewDirectory(name, options, directory, debug);
    }
    rocksdb::IOStatus ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override {
        noted.push_back("reuse");
        return refuses_reuse ? rocksdb::IOStatus::NotSupported() : target()->ReuseWritableFile(name, old, options, file, debug);
    }

    std::vector<std::string> noted;
    bool refuses_reuse = false;
};

/// Notes how files are written at a position; as if past the page cache, which not every disk under a test can.
class paging_file_system final : public rocksdb::FileSystemWrapper {
public:
    paging_file_system() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
    const char* Name() const override { return "paging"; }

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override {
        auto status = target()->NewWritableFile(name, cached(options), file, debug);
        if (status.ok()) *file = std::make_unique<paged_file>(std::move(*file), options.use_direct_writes, writes);
        return status;
    }
    rocksdb::IOStatus ReuseWritableFile(const std::string& name, const std::string& old, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* file, rocksdb::IODebugContext* debug) override {
        auto status = target()->ReuseWritableFile(name, old, cached(options), file, debug);
        if (status.ok()) *file = std::make_unique<paged_file>(std::move(*file), options.use_direct_writes, writes);
        return status;
    }

    std::vector<bool> writes;  // whether in whole pages

private:
    static rocksdb::FileOptions cached(rocksdb::FileOptions options) {
        options.use_direct_writes = false;
        return options;
    }

    class paged_file final : public rocksdb::FSWritableFileOwnerWrapper {
    public:
        paged_file(std::unique_ptr<rocksdb::FSWritableFile> file, bool direct, std::vector<bool>& writes)
            : FSWritableFileOwnerWrapper(std::move(file)), direct_(direct), writes_(writes) {}
        bool use_direct_io() const override { return direct_; }
        rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t at, const rocksdb::IOOptions& options,
                                           rocksdb::IODebugContext* debug) override {
            const auto is_whole = [](std::uint64_t place) { return place % 4096 == 0; };
            writes_.push_back(is_whole(reinterpret_cast<std::uintptr_t>(data.data())) && is_whole(data.size()) && is_whole(at));
            return FSWritableFileOwnerWrapper::PositionedAppend(data, at, options, debug);
        }

    private:
        const bool direct_;
        std::vector<bool>& writes_;
    };
};

/// In one piece, as a batch that somebody waits for.
void write(rocksdb::FSWritableFile& log, const std::string& records) {
    REQUIRE(log.Append(records, {}, nullptr).ok());
    REQUIRE(log.Flush({}, nullptr).ok());
    REQUIRE(log.Sync({}, nullptr).ok());
}

/// The logs' files of a store that has room for spares.
struct reusing {
    std::shared_ptr<rocksdb::FileSystem> files = rocksdb::FileSystem::Default();
    bool synced = true;
    rocksdb::DBOptions database;
    scratch_directory scratch;
    log_spares spares{files, scratch.path().string()};
    log_files logs{files, synced, &spares};

    reusing() { spares.admit(true); }
    reusing(std::shared_ptr<rocksdb::FileSystem> on, bool is_synced, bool is_direct) : files(std::move(on)), synced(is_synced) {
        spares.admit(true);
        database.use_direct_io_for_flush_and_compaction = is_direct;
    }

    fs::path path(std::uint64_t number) const { return scratch.path() / log_file_name(number); }

    std::unique_ptr<rocksdb::FSWritableFile> make(std::uint64_t number) {
        std::unique_ptr<rocksdb::FSWritableFile> log;
        REQUIRE(logs.NewWritableFile(path(number).string(), logs.OptimizeForLogWrite({}, database), &log, nullptr).ok());
        return log;
    }

    /// A log with this in it, that nobody needs any more.
    void write_dead(std::uint64_t number, const std::string& records) {
        const auto log = make(number);
        REQUIRE(log->Append(records, {}, nullptr).ok());
        REQUIRE(log->Close({}, nullptr).ok());
        REQUIRE(logs.DeleteFile(path(number).string(), {}, nullptr).ok());
    }
};

/// Groups that fill logs until one that is written over a dead one has begun.
struct reused_log {
    scratch_directory scratch;
    std::unique_ptr<store> live = open_or_fail(with_few_logs(scratch.path()));
    const core::fencing_epoch epoch = open_shard(*live);
    const std::function<std::vector<core::mutation>(std::uint64_t)> group;
    std::uint64_t groups = 0;

    explicit reused_log(std::size_t bytes) : reused_log([bytes](std::uint64_t number) { return numbered(number, bytes); }) {}
    explicit reused_log(std::function<std::vector<core::mutation>(std::uint64_t)> of_number) : group(std::move(of_number)) {
        for (auto log = newest_log(scratch.path());;) {
            REQUIRE(groups < 10'000);
            add();
            const auto newest = newest_log(scratch.path());
            if (newest != std::exchange(log, newest) && fs::file_size(newest) > (1u << 20)) return;  // as large as it was when it died
        }
    }
    /// They die early.
    static rocksdb_options with_few_logs(const fs::path& directory) {
        auto options = options_for(directory);
        options.log_bytes = 4u << 20;
        return options;
    }
    void add() {
        REQUIRE_FALSE(commit(*live, epoch, group(groups)));
        ++groups;
    }
};

}  // namespace

TEST_CASE("a log's salt is put on its records, however they are cut into appends, and taken off by who reads it") {
    std::string plain = records_of(std::string(100, 'a'));
    plain += records_of(std::string(100'000, 'b'), plain.size());
    plain += records_of(std::string(block - plain.size() % block - 2 * record_header_bytes - 3, 'c'), plain.size());  // three bytes are filled up
    plain.append(block - plain.size() % block < record_header_bytes ? block - plain.size() % block : 0, '\0');
    plain += records_of("d", plain.size());
    const auto piece = GENERATE(as<std::size_t>{}, 1, 3, 7, 100, block, 1 << 20);
    reusing of;
    const auto log = of.make(7);
    for (std::size_t at = 0; at < plain.size(); at += piece) {
        REQUIRE(log->Append(rocksdb::Slice(plain.data() + at, std::min(piece, plain.size() - at)), {}, nullptr).ok());
    }
    REQUIRE(log->Close({}, nullptr).ok());
    const auto salted = bytes_in(of.path(7));
    CHECK(salted.size() == plain.size());
    CHECK(record_at(salted, 0)->is_data_of(salt_of(7)));
    CHECK(salted == as_of_log(plain, 0, 7));
    CHECK(read_through(of.path(7)) == plain);
}

TEST_CASE("every log has a salt of its own, and its number is found in it") {
    for (std::uint64_t number = 1; number < 100'000; ++number) {
        REQUIRE(salt_of(number) != no_salt);
        REQUIRE(log_of(salt_of(number)) == number);
    }
    const auto zeros = record_at(std::string(record_header_bytes, '\0'), 0);
    REQUIRE(zeros);
    CHECK(log_of(zeros->salt) > 1'000'000'000);  // no log's end
}

TEST_CASE("a log is written over a dead one, ends where its records do, and is cut there when it is closed") {
    reusing of;
    const auto old = records_of(std::string(100'000, 'a'));
    of.write_dead(7, old);
    CHECK(names_ending(of.scratch.path(), ".log").empty());
    CHECK(names_ending(of.scratch.path(), ".spare").size() == 1);
    CHECK(of.spares.bytes() == old.size());
    const auto log = of.make(9);
    CHECK(of.spares.bytes() == 0);
    CHECK(names_ending(of.scratch.path(), "").size() == 1);
    CHECK(fs::file_size(of.path(9)) == old.size());
    CHECK(read_through(of.path(9)).empty());
    auto is = std::string();
    for (const auto bytes : {100, 40'000, 1, 25'000 - 8, 120'000}) {  // to where the dead one ends and beyond
        const auto more = records_of(std::string(static_cast<std::size_t>(bytes), 'b'), is.size());
        write(*log, more);
        is += more;
        CHECK(read_through(of.path(9)) == is);
        std::uint64_t size = 0;
        CHECK(of.logs.GetFileSize(of.path(9).string(), {}, &size, nullptr).ok());
        CHECK(size == is.size());
    }
    REQUIRE(log->Close({}, nullptr).ok());
    CHECK(fs::file_size(of.path(9)) == is.size());
}

TEST_CASE("a log is written in whole pages past the page cache where that can be, and where somebody waits for the disk: a new one, and one over a dead one") {
    const auto can_direct = GENERATE(true, false);
    const auto synced = GENERATE(true, false);
    const auto is_new = GENERATE(true, false);
    const auto files = std::make_shared<paging_file_system>();
    reusing of(files, synced, can_direct);
    if (!is_new) of.write_dead(7, records_of(std::string(100'000, 'a')));
    files->writes.clear();
    const auto log = of.make(9);
    std::string is;
    for (const auto bytes : {100, 4096 - 107 - 7, 1, 70'000, 120'000, 9}) {  // one up to where a page ends; the last ones beyond the dead log
        const auto more = records_of(std::string(static_cast<std::size_t>(bytes), 'b'), is.size());
        write(*log, more);
        is += more;
        REQUIRE(read_through(of.path(9)) == is);
    }
    const auto in_pages = std::count(files->writes.begin(), files->writes.end(), true);
    if (can_direct && synced) {
        CHECK(in_pages >= 6);
        CHECK(in_pages == std::ssize(files->writes));  // zeros that are filled ahead, too
    } else {
        CHECK(in_pages < 6);
    }
    REQUIRE(log->Close({}, nullptr).ok());
    CHECK(fs::file_size(of.path(9)) == is.size());
}

TEST_CASE("a batch that was torn at a block's end is not completed by what a dead log left in the next") {
    reusing of;
    const auto batch = std::string(4 * block, 'a');
    of.write_dead(7, records_of(batch));
    const auto log = of.make(9);
    const auto torn = records_of(std::string(4 * block, 'b')).substr(0, 2 * block);
    write(*log, torn);
    const auto seen = read_through(of.path(9));
    CHECK(seen == torn);
    // Nor when the power took the end that was written there.
    auto bytes = bytes_in(of.path(9));
    bytes.replace(2 * block, record_header_bytes, as_of_log(records_of(batch), 0, 7), 2 * block, record_header_bytes);
    REQUIRE(record_at(bytes, 2 * block)->is_data_of(no_salt) == false);
    std::ofstream(of.path(9), std::ios::binary) << bytes;
    CHECK(read_through(of.path(9)) == torn);
}

TEST_CASE("a group of several blocks whose last ones did not reach the disk is torn, though a dead log's group has the same place and length") {
    constexpr std::size_t blocks = 4, batch_bytes = 12 + 30 + 1 + 1 + 1 + 16 + 3;  // of a group that appends one entry, beside its text
    const auto text_of_group = [](std::uint64_t number) { return std::string(blocks * (block - record_header_bytes) - batch_bytes, static_cast<char>('a' + number % 26)); };
    reused_log store([&](std::uint64_t number) { return std::vector<core::mutation>{append(partition(1), number, number, text_of_group(number))}; });
    const auto is_three_groups_over_dead_ones = [&] {  // the one in which it was seen may be in the log before, and the next one new
        const auto log = newest_log(store.scratch.path());
        return read_through(log).size() == 3 * blocks * block && fs::file_size(log) > (1u << 20);
    };
    while (!is_three_groups_over_dead_ones()) {
        REQUIRE(store.groups < 10'000);
        store.add();
    }
    const auto missing = GENERATE(as<std::size_t>{}, 1, 2, 3);
    const crash_image image(store.scratch.path());
    REQUIRE(read_through(image.log()).size() == 3 * blocks * block);
    const auto dead = image.bytes().substr((5 * blocks - missing) * block, (missing + blocks) * block);  // the last blocks of a dead group, and another one
    REQUIRE(dead.size() == (missing + blocks) * block);
    image.overwrite((3 * blocks - missing) * block, dead);
    const auto opened = open_or_fail(options_for(image.path));
    const auto entries = read_texts(*opened, partition(1));
    CHECK(entries.size() == store.groups - 1);
    for (const auto& entry : entries) {
        REQUIRE(entry.text == text_of_group(entry.last));
    }
}

TEST_CASE("after the process died a log that was written over a dead one holds all its groups, and nothing is told or cut") {
    const auto bytes = GENERATE(as<std::size_t>{}, 4000, 100'000);
    reused_log store(bytes);
    store.add();
    const crash_image image(store.scratch.path());
    const auto found = scan_logs(local(), image.path.string());
    REQUIRE(found);
    CHECK(found.value().spots.empty());
    const auto opened = open_or_fail(options_for(image.path));
    CHECK(read_texts(*opened, partition(1)).size() == store.groups);
    CHECK(names_ending(image.path, ".spare").empty());
}

TEST_CASE("damage in a log that is written over a dead one is named, and salvage keeps the rest") {
    reused_log store(20'000);
    for (int more = 0; more < 5; ++more) store.add();
    const crash_image image(store.scratch.path());
    const auto end = read_through(image.log()).size();
    image.flip(end - 30'000);
    const auto refused = open_rocksdb_store(options_for(image.path));
    REQUIRE_FALSE(refused);
    CHECK(refused.failure().code == errc::corruption);
    auto options = options_for(image.path);
    options.salvage = true;
    CHECK(read_texts(*open_or_fail(options), partition(1)).size() == store.groups - 1);
    CHECK(read_texts(*open_or_fail(options_for(image.path)), partition(1)).size() == store.groups - 1);
}

TEST_CASE("a log of an earlier program, without salt, opens, is salvaged, and is not written over") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    for (std::uint64_t i = 0; i < 20; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i, i % 5 == 0 ? 40'000 : 100)));
    }
    const crash_image image(scratch.path());
    const auto end = image.end();
    image.overwrite(0, as_of_log(image.bytes().substr(0, end), image.number(), 0));
    const auto is_damaged = GENERATE(false, true);
    auto options = options_for(image.path);
    if (is_damaged) {
        image.flip(end / 2);
        const auto refused = open_rocksdb_store(options);
        REQUIRE_FALSE(refused);
        CHECK(refused.failure().code == errc::corruption);
        options.salvage = true;
    }
    const auto opened = open_or_fail(options);
    CHECK(read_texts(*opened, partition(1)).size() == (is_damaged ? 19 : 20));
    CHECK(names_ending(image.path, ".spare").empty());
}

TEST_CASE("a log that another opening of the database made is deleted and not written over") {
    reusing of;
    std::ofstream(of.path(7)) << "of unknown salt";
    of.make(8);
    REQUIRE(of.logs.DeleteFile(of.path(7).string(), {}, nullptr).ok());
    CHECK_FALSE(fs::exists(of.path(7)));
    CHECK(names_ending(of.scratch.path(), ".spare").empty());
}

TEST_CASE("a log that is also a checkpoint's is deleted and not written over, and no checkpoint's log becomes a spare") {
    reusing of;
    const auto checkpoint = of.scratch.path() / "checkpoint";
    fs::create_directory(checkpoint);
    {
        const auto log = of.make(7);
        REQUIRE(log->Append(records_of("kept"), {}, nullptr).ok());
        REQUIRE(log->Close({}, nullptr).ok());
    }
    fs::create_hard_link(of.path(7), checkpoint / log_file_name(7));
    REQUIRE(of.logs.DeleteFile(of.path(7).string(), {}, nullptr).ok());
    CHECK_FALSE(fs::exists(of.path(7)));
    CHECK(names_ending(of.scratch.path(), ".spare").empty());
    of.make(9);
    CHECK(read_through(checkpoint / log_file_name(7)) == records_of("kept"));

    std::unique_ptr<rocksdb::FSWritableFile> copy;
    REQUIRE(of.logs.NewWritableFile((checkpoint / log_file_name(8)).string(), {}, &copy, nullptr).ok());
    copy.reset();
    REQUIRE(of.logs.DeleteFile((checkpoint / log_file_name(8)).string(), {}, nullptr).ok());
    CHECK(names_ending(checkpoint, ".spare").empty());
}

TEST_CASE("a checkpoint of a store whose log is written over a dead one is whole") {
    reused_log store(GENERATE(as<std::size_t>{}, 4000, 100'000));
    const scratch_directory scratch;
    REQUIRE_FALSE(store.live->checkpoint(scratch.path() / "checkpoint"));
    for (int more = 0; more < 100; ++more) store.add();  // over what the checkpoint may be linked to
    const auto opened = open_or_fail(options_for(scratch.path() / "checkpoint"));
    CHECK(read_texts(*opened, partition(1)).size() == store.groups - 100);
}

TEST_CASE("the name of a dead log is gone for good before anything is written over it") {
    const scratch_directory scratch;
    const auto noting = std::make_shared<noting_file_system>();
    log_spares spares(noting, scratch.path().string());
    log_files logs(noting, true, &spares);
    spares.admit(true);
    const auto path = [&](std::uint64_t number) { return (scratch.path() / log_file_name(number)).string(); };
    std::unique_ptr<rocksdb::FSWritableFile> log;
    REQUIRE(logs.NewWritableFile(path(7), {}, &log, nullptr).ok());
    REQUIRE(log->Append(records_of("words"), {}, nullptr).ok());
    REQUIRE(log->Close({}, nullptr).ok());
    REQUIRE(logs.DeleteFile(path(7), {}, nullptr).ok());
    REQUIRE(logs.NewWritableFile(path(9), {}, &log, nullptr).ok());
    CHECK(noting->noted == std::vector<std::string>{"rename", "sync names", "reuse"});
}

TEST_CASE("where no file can be written over, every log is a new one") {
    reusing of;
    of.write_dead(7, records_of(std::string(1000, 'a')));
    const auto refusing = std::make_shared<noting_file_system>();
    refusing->refuses_reuse = true;
    log_files logs(refusing, true, &of.spares);
    std::unique_ptr<rocksdb::FSWritableFile> log;
    REQUIRE(logs.NewWritableFile(of.path(9).string(), {}, &log, nullptr).ok());
    CHECK(fs::file_size(of.path(9)) == 0);
    CHECK(names_ending(of.scratch.path(), ".spare").empty());
}

TEST_CASE("few spares are kept, none when the disk is scarce, and none of an earlier process") {
    reusing of;
    std::ofstream(of.scratch.path() / (log_file_name(3) + ".spare")) << "of an earlier process";
    of.spares.drop_leftovers();
    CHECK(names_ending(of.scratch.path(), ".spare").empty());
    std::vector<std::unique_ptr<rocksdb::FSWritableFile>> open;
    for (std::uint64_t number = 10; number < 20; ++number) {
        open.push_back(of.make(number));
        REQUIRE(open.back()->Append(records_of("words"), {}, nullptr).ok());
        REQUIRE(open.back()->Close({}, nullptr).ok());
    }
    for (std::uint64_t number = 10; number < 20; ++number) {
        REQUIRE(of.logs.DeleteFile(of.path(number).string(), {}, nullptr).ok());
    }
    CHECK(names_ending(of.scratch.path(), "").size() == 4);
    of.spares.admit(false);
    CHECK(names_ending(of.scratch.path(), "").empty());
    of.write_dead(21, records_of("words"));
    CHECK(names_ending(of.scratch.path(), "").empty());
}

}  // namespace millrace::storage
