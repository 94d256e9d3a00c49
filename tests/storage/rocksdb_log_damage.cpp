// What opening makes of a log whose bytes are not what was written: damage is refused by name, a torn tail is cut, and salvage keeps the rest.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "broker/storage/rocksdb_log_records.hpp"
#include "broker/storage/rocksdb_log_scan.hpp"
#include "tests/storage/crash_image.hpp"
#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

/// Entries 0 … n-1 without a gap, and the row that was put with the last. Gives n.
std::uint64_t consistent_groups(store& found) {
    const auto entries = read_texts(found, partition(1));
    for (std::size_t i = 0; i < entries.size(); ++i) {
        REQUIRE(entries[i].last == i);
    }
    const auto rows = rows_of(found, "last", "last~");
    REQUIRE(rows.size() == (entries.empty() ? 0 : 1));
    if (!rows.empty()) {
        REQUIRE(rows[0].value == std::to_string(entries.size() - 1));
    }
    return entries.size();
}

constexpr std::size_t batch_bytes = 12 + 30 + 1 + 1 + 1 + 16 + 3;  // of a group that appends one entry, beside its text

error refusal_of(const rocksdb_options& options) {
    const auto opened = open_rocksdb_store(options);
    return opened ? error{} : opened.failure();
}

rocksdb_options buffered(const fs::path& directory) {
    auto options = options_for(directory);
    options.level = durability::buffered;
    return options;
}

/// Holds the syncs of logs back while it is shut.
class gated_file_system final : public rocksdb::FileSystemWrapper {
public:
    gated_file_system() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
    const char* Name() const override { return "gated"; }

    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override {
        auto status = FileSystemWrapper::NewWritableFile(name, options, file, debug);
        if (status.ok() && name.ends_with(".log")) {
            *file = std::make_unique<gated_file>(std::move(*file), *this);
        }
        return status;
    }

    void shut(bool is_shut) {
        std::lock_guard lock(mutex_);
        shut_ = is_shut;
        changed_.notify_all();
    }

    /// One of them, though it is shut.
    void let_pass() {
        std::lock_guard lock(mutex_);
        ++may_pass_;
        changed_.notify_all();
    }

    int waiting() {
        std::lock_guard lock(mutex_);
        return waiting_;
    }

private:
    class gated_file final : public rocksdb::FSWritableFileOwnerWrapper {
    public:
        gated_file(std::unique_ptr<rocksdb::FSWritableFile> file, gated_file_system& gate) : FSWritableFileOwnerWrapper(std::move(file)), gate_(gate) {}
        bool IsSyncThreadSafe() const override { return true; }
        rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
            gate_.wait();
            return FSWritableFileOwnerWrapper::Sync(options, debug);
        }

    private:
        gated_file_system& gate_;
    };

    void wait() {
        std::unique_lock lock(mutex_);
        ++waiting_;
        changed_.wait(lock, [this] { return !shut_ || may_pass_ > 0; });
        may_pass_ -= may_pass_ > 0;
        --waiting_;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool shut_ = false;
    int may_pass_ = 0;
    int waiting_ = 0;
};

std::uintmax_t manifest_bytes(const fs::path& directory) {
    std::uintmax_t bytes = 0;
    for (const auto& file : fs::directory_iterator(directory)) {
        if (file.path().filename().string().starts_with("MANIFEST-")) {
            bytes += fs::file_size(file.path());
        }
    }
    return bytes;
}

/// A store that has just written its first table, of entries, and gone on to another log, of which nothing has reached the disk.
struct image_after_a_flush {
    scratch_directory scratch;
    std::unique_ptr<store> live = open_or_fail(options_for(scratch.path()));
    std::uint64_t groups = 0;  // of 20 KB, in the logs but the last
    std::unique_ptr<crash_image> image;

    image_after_a_flush() {
        const auto epoch = open_shard(*live);
        const auto before = manifest_bytes(scratch.path());
        auto log = newest_log(scratch.path());
        // Two full memtables are written together; nothing is committed meanwhile, so that there is no log more, however long that takes.
        for (int full = 0; full < 2; ++groups) {
            REQUIRE(groups < 10'000);
            REQUIRE_FALSE(commit(*live, epoch, numbered(groups, 20'000)));
            const auto newest = newest_log(scratch.path());
            if (newest != log) ++full;
            log = newest;
        }
        --groups;  // the last one is in the log that was begun
        for (int waited = 0; manifest_bytes(scratch.path()) == before; ++waited) {
            REQUIRE(waited < 30'000);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        image = std::make_unique<crash_image>(scratch.path());
        fs::remove(image->log());
    }
};

}  // namespace

TEST_CASE("a flipped bit anywhere in an answered group is damage: it is named, and nothing is opened without it") {
    const auto bytes = GENERATE(as<std::size_t>{}, 100, 3000, 60'000);
    CAPTURE(bytes);
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    const auto begins = crash_image(scratch.path()).end();
    for (std::uint64_t i = 0; i < 40; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i, bytes)));
    }
    const auto ends = crash_image(scratch.path()).end();
    REQUIRE_FALSE(commit(*live, epoch, numbered(40, bytes)));
    for (int i = 0; i < 60; ++i) {
        const crash_image image(scratch.path());
        const auto at = begins + (ends - begins - 1) * static_cast<std::uint64_t>(i) / 59;
        CAPTURE(at, begins, ends);
        image.flip(at);
        const auto refused = refusal_of(options_for(image.path));
        REQUIRE(refused.code == errc::corruption);
        CHECK(refused.what.find(image.log().filename().string()) != std::string::npos);
        CHECK(refused.what.find("--salvage") != std::string::npos);
        CHECK(refusal_of(options_for(image.path)) == refused);  // refusing changes nothing
    }
}

TEST_CASE("the last groups before a pause, and before an orderly end, are proven too") {
    const auto orderly = GENERATE(true, false);
    const scratch_directory scratch;
    auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    REQUIRE_FALSE(commit(*live, epoch, numbered(0)));
    const auto ends = crash_image(scratch.path()).end();
    if (orderly) {
        live.reset();
    } else {
        for (int i = 0; i < 1000 && crash_image(scratch.path()).end() == ends; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        const auto marked = crash_image(scratch.path()).end();
        live.reset();
        CHECK(crash_image(scratch.path()).end() == marked);  // once is enough
    }
    const crash_image image(scratch.path());
    REQUIRE(image.end() > ends);
    image.flip(ends - 1);
    CHECK(refusal_of(options_for(image.path)).code == errc::corruption);
}

TEST_CASE("a log that ends anywhere is a torn tail: whole groups are there up to it") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    for (std::uint64_t i = 0; i < 30; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i, i % 3 == 0 ? 40'000 : 100)));
    }
    const auto size = crash_image(scratch.path()).end();
    std::uint64_t before = 0;
    for (std::uint64_t i = 0; i <= 60; ++i) {
        const crash_image image(scratch.path());
        fs::resize_file(image.log(), size * i / 60);
        if (i % 2 == 0) {
            fs::resize_file(image.log(), size + 100'000);  // as allocated in advance
        }
        const auto opened = open_or_fail(options_for(image.path));
        const auto kept = consistent_groups(*opened);
        CHECK(kept >= before);
        before = kept;
    }
    CHECK(before == 30);
}

std::vector<core::mutation> one(std::uint64_t number, std::size_t text) {
    return {append(partition(1), number, number, std::string(text, 'x'))};
}

/// Groups in a new log that fill one block each, to its end.
void commit_blocks(store& live, const fs::path& directory, std::size_t count) {
    const auto epoch = open_shard(live);
    REQUIRE_FALSE(commit(live, epoch, one(0, block - crash_image(directory).end() - 7 - batch_bytes)));
    REQUIRE(crash_image(directory).end() == block);
    for (std::uint64_t i = 1; i < count; ++i) {
        REQUIRE_FALSE(commit(live, epoch, one(i, block - 7 - batch_bytes)));
    }
    REQUIRE(crash_image(directory).end() == count * block);
}

TEST_CASE("pages that reached the disk out of order are no damage: the log is cut in front of the hole") {
    const scratch_directory scratch;
    const auto live = open_or_fail(buffered(scratch.path()));
    // From a block's begin on: the hole is such that RocksDB would not see it.
    commit_blocks(*live, scratch.path(), 10);
    const auto hole = GENERATE(as<std::size_t>{}, 1, 4, 8);
    const auto misaligned = GENERATE(as<std::size_t>{}, 0, 4096, 7);
    CAPTURE(hole, misaligned);
    const crash_image image(scratch.path());
    image.overwrite(hole * block + misaligned, std::string(block, '\0'));
    const auto opened = open_or_fail(buffered(image.path));
    const auto entries = read_texts(*opened, partition(1));
    REQUIRE(entries.size() == hole);
    CHECK(entries.back().last == hole - 1);
    // What comes next takes the place of what was cut, for good.
    REQUIRE_FALSE(commit(*opened, open_shard(*opened), one(hole, 50)));
    const crash_image again(image.path);
    CHECK(read_texts(*open_or_fail(buffered(again.path)), partition(1)).size() == hole + 1);
}

TEST_CASE("a torn group of several blocks is cut where it begins: what is in front of it stays") {
    const scratch_directory scratch;
    const auto live = open_or_fail(buffered(scratch.path()));
    const auto epoch = open_shard(*live);
    REQUIRE_FALSE(commit(*live, epoch, numbered(0)));
    const auto begins = crash_image(scratch.path()).end();
    REQUIRE_FALSE(commit(*live, epoch, numbered(1, 3 * block)));
    const auto ends = crash_image(scratch.path()).end();
    REQUIRE_FALSE(commit(*live, epoch, numbered(2)));
    const crash_image image(scratch.path());
    image.overwrite(GENERATE(as<std::size_t>{}, 1, 2) * block, std::string(block, '\0'));
    const auto found = scan_logs(*rocksdb::FileSystem::Default(), image.path.string());
    REQUIRE(found);
    REQUIRE(found.value().spots.size() == 1);
    CHECK(found.value().spots[0].offset == begins);
    CHECK(found.value().spots[0].bytes == ends - begins);
    const auto opened = open_or_fail(buffered(image.path));
    CHECK(consistent_groups(*opened) == 1);
}

TEST_CASE("behind a torn group the logs of the same process go, and what comes next is there for good") {
    const scratch_directory scratch;
    const auto live = open_or_fail(buffered(scratch.path()));
    commit_blocks(*live, scratch.path(), 6);
    const crash_image image(scratch.path());
    const auto log = image.log();
    const auto newer = image.path / log_file_name(image.number() + 1);
    const auto front = image.bytes().substr(0, 2 * block);
    const auto back = as_of_log(image.bytes().substr(3 * block, 3 * block), image.number(), image.number() + 1);
    std::ofstream(log, std::ios::binary) << front << "half a header or so";  // of the third group, which is nowhere
    std::ofstream(newer, std::ios::binary) << back;
    auto& files = *rocksdb::FileSystem::Default();
    const auto found = scan_logs(files, image.path.string());
    REQUIRE(found);
    REQUIRE_FALSE(found.value().damage());
    REQUIRE_FALSE(cut_torn_tail(files, image.path.string(), found.value()));
    CHECK(fs::exists(log));
    CHECK_FALSE(fs::exists(newer));
    {
        const auto opened = open_or_fail(buffered(image.path));
        CHECK(read_texts(*opened, partition(1)).size() == 2);
        REQUIRE_FALSE(commit(*opened, open_shard(*opened), one(2, 50)));
    }
    CHECK(read_texts(*open_or_fail(buffered(image.path)), partition(1)).size() == 3);
}

TEST_CASE("a flipped bit in the zeros behind an older log's last group is no damage, a group that is missing there is") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    commit_blocks(*live, scratch.path(), 6);
    const auto missing = GENERATE(as<std::size_t>{}, 0, 1);
    const crash_image image(scratch.path());
    const auto log = image.log();
    auto older = image.bytes().substr(0, 6 * block);
    const auto newer = as_of_log(older.substr(3 * block), image.number(), image.number() + 1);
    older.resize((3 - missing) * block);
    older.resize(older.size() + 1000);
    older[older.size() - 500] = 1;
    std::ofstream(log, std::ios::binary) << older;
    std::ofstream(image.path / log_file_name(image.number() + 1), std::ios::binary) << newer;
    if (missing > 0) {
        CHECK(refusal_of(options_for(image.path)).code == errc::corruption);
    } else {
        const auto opened = open_rocksdb_store(options_for(image.path));
        REQUIRE(opened);
        CHECK(read_texts(*opened.value(), partition(1)).size() == 6);
    }
}

TEST_CASE("a flipped bit in the zeros behind the last group of a log is no damage, though a table was written since") {
    const image_after_a_flush store;
    const auto& image = *store.image;
    fs::resize_file(image.log(), image.end() + 1000);
    image.overwrite(image.end() + 4, "x");  // the length of a record, for RocksDB
    std::ofstream(image.path / log_file_name(image.number() + 1));
    const auto opened = open_or_fail(options_for(image.path));
    CHECK(consistent_groups(*opened) == store.groups);
}

TEST_CASE("damage to what a table was written behind is named, though no group in the log proves it, and salvage keeps the rest") {
    const image_after_a_flush store;
    const auto& image = *store.image;
    const auto name = image.log().filename().string();
    image.flip(image.end() - 5000);  // in the last group
    std::ofstream(image.path / log_file_name(image.number() + 1));
    const auto refused = refusal_of(options_for(image.path));
    REQUIRE(refused.code == errc::corruption);
    CHECK(refused.what.find(name) != std::string::npos);
    auto options = options_for(image.path);
    options.salvage = true;
    const auto opened = open_or_fail(options);
    CHECK(read_texts(*opened, partition(1)).size() == store.groups);  // the table has its entry
    CHECK(rows_of(*opened, "last", "last~")[0].value == std::to_string(store.groups - 2));
}

TEST_CASE("damage that a table alone proves is named, though the table is damaged as well and is made anew first") {
    const image_after_a_flush store;
    const auto& image = *store.image;
    image.flip(image.end() - 5000);  // in the last group
    std::ofstream(image.path / log_file_name(image.number() + 1));
    for (const auto& file : fs::directory_iterator(image.path)) {
        if (file.path().extension() == ".sst") flip_bits(file.path(), file.file_size() - 1, 1);  // what makes it a table: it does not open
    }
    std::vector<std::string> told;
    auto options = options_for(image.path);
    options.tell = [&](const std::string& line) { told.push_back(line); };
    const auto refused = refusal_of(options);
    CHECK(refused.code == errc::corruption);
    CHECK(refused.what.find(".log held what had been synced") != std::string::npos);
    REQUIRE_FALSE(told.empty());
    CHECK(told.front().find("mended: ") == 0);
}

TEST_CASE("a group that was being synced with the next, whole behind it, is torn, not damaged") {
    const scratch_directory scratch;
    auto options = options_for(scratch.path());
    const auto gate = std::make_shared<gated_file_system>();
    options.file_system = gate;
    const auto live = open_or_fail(options);
    const auto epoch = open_shard(*live);
    REQUIRE_FALSE(commit(*live, epoch, numbered(0)));
    const auto begins = crash_image(scratch.path()).end();
    gate->shut(true);
    std::atomic<int> answered{0};
    const auto submit = [&](std::uint64_t number) {
        live->commit(first_shard, epoch, numbered(number, 100'000), [&](const error& outcome) { answered += outcome ? 100 : 1; });
    };
    const auto log_reaches = [&](std::uint64_t size) {
        while (crash_image(scratch.path()).end() < size) {
            std::this_thread::yield();
        }
    };
    submit(1);
    while (gate->waiting() == 0) {
        std::this_thread::yield();
    }
    submit(2);
    submit(3);
    while (read_texts(*live, partition(1)).size() < 4) {
        std::this_thread::yield();
    }
    gate->let_pass();
    log_reaches(begins + 300'000);
    {
        const crash_image image(scratch.path());
        image.overwrite(begins + 110'000, std::string(20'000, '\0'));
        const auto opened = open_rocksdb_store(options_for(image.path));
        CHECK((opened && read_texts(*opened.value(), partition(1)).size() == 2));
    }
    CHECK(answered == 1);
    gate->shut(false);
    REQUIRE_FALSE(commit(*live, epoch, numbered(4)));
    REQUIRE_FALSE(commit(*live, epoch, numbered(5)));
    CHECK(answered == 3);
    {
        const crash_image image(scratch.path());
        image.overwrite(begins + 110'000, std::string(20'000, '\0'));
        CHECK(refusal_of(options_for(image.path)).code == errc::corruption);
    }
}

TEST_CASE("salvage keeps what stands around the damage, names it, and leaves a log that opens") {
    const auto bytes = GENERATE(as<std::size_t>{}, 100, 40'000, 100'000);
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    const auto begins = crash_image(scratch.path()).end();
    for (std::uint64_t i = 0; i < 10; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i, bytes)));
    }
    const crash_image image(scratch.path());
    const auto ends = crash_image(scratch.path()).end();
    image.flip(begins + (ends - begins) * 11 / 20);
    auto options = options_for(image.path);
    CHECK(refusal_of(options).code == errc::corruption);
    std::vector<std::string> told;
    options.salvage = true;
    options.tell = [&](const std::string& line) { told.push_back(line); };
    {
        const auto opened = open_or_fail(options);
        const auto entries = read_texts(*opened, partition(1));
        CHECK(entries.size() == 9);
        CHECK(std::none_of(entries.begin(), entries.end(), [](const auto& e) { return e.last == 5; }));
        for (const auto& e : entries) {
            CHECK(e.text == std::string(bytes, static_cast<char>('a' + e.last % 26)));
        }
        CHECK(rows_of(*opened, "last", "last~") == std::vector<core::row>{{"last", "9"}});
    }
    REQUIRE(told.size() == 1);
    CHECK(told[0].find(".log") != std::string::npos);
    CHECK(read_texts(*open_or_fail(options_for(image.path)), partition(1)).size() == 9);
}

TEST_CASE("a log that was salvaged has no bad spot, wherever in a block its groups end") {
    const auto left = GENERATE(as<std::size_t>{}, 0, 3, 6, 7, 8, 20);  // of a block, behind its last group; a header takes 7
    CAPTURE(left);
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    const auto begins = crash_image(scratch.path()).end();
    const auto text = block - begins - left - 7 - batch_bytes;
    REQUIRE_FALSE(commit(*live, epoch, {append(partition(1), 0, 0, std::string(text, 'x'))}));
    REQUIRE(crash_image(scratch.path()).end() == block - left);
    for (std::uint64_t i = 1; i < 5; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, {append(partition(1), i, i, std::string(1000, 'x'))}));
    }
    const auto ends = crash_image(scratch.path()).end();
    const crash_image image(scratch.path());
    image.flip(ends - 1500);  // in the last but one
    auto& files = *rocksdb::FileSystem::Default();
    const auto found = scan_logs(files, image.path.string());
    REQUIRE(found);
    REQUIRE(found.value().spots.size() == 1);
    REQUIRE_FALSE(salvage_logs(files, image.path.string(), found.value()));
    const auto salvaged = scan_logs(files, image.path.string());
    REQUIRE(salvaged);
    REQUIRE(salvaged.value().spots.size() == 1);  // the group that is no more, and no bytes in its place
    CHECK(salvaged.value().spots[0].bytes == 0);
    auto options = options_for(image.path);
    options.salvage = true;
    CHECK(read_texts(*open_or_fail(options), partition(1)).size() == 4);
}

TEST_CASE("damage at the front of a log is proven by its own process, however far an earlier one had come") {
    const scratch_directory before;
    const scratch_directory scratch;
    const auto earlier = open_or_fail(options_for(before.path()));
    const auto live = open_or_fail(options_for(scratch.path()));
    auto epoch = open_shard(*earlier);
    for (std::uint64_t i = 0; i < 100; ++i) {
        REQUIRE_FALSE(commit(*earlier, epoch, numbered(i)));
    }
    epoch = open_shard(*live);
    for (std::uint64_t i = 0; i < 5; ++i) {
        REQUIRE_FALSE(commit(*live, epoch, numbered(i)));
    }
    const crash_image image(scratch.path());
    image.flip(20);
    const crash_image image_before(before.path());
    std::ofstream(image.path / log_file_name(1), std::ios::binary) << as_of_log(image_before.bytes().substr(0, image_before.end()), image_before.number(), 1);
    const auto found = scan_logs(*rocksdb::FileSystem::Default(), image.path.string());
    REQUIRE(found);
    REQUIRE(found.value().damage());
    CHECK(log_file_name(found.value().damage()->log) == image.log().filename());
    CHECK(found.value().damage()->before == 0);
}

TEST_CASE("what is missing at the front of a log was synced when all of it was, behind a group when anything was") {
    const bad_spot at_front{.log = 7, .after = 10};
    CHECK(at_front.is_covered(7, 9));
    CHECK_FALSE(at_front.is_covered(7, 8));
    CHECK_FALSE(bad_spot{.log = 7}.is_covered(7, 1000));  // nor is anything in front of it
    const bad_spot behind_a_group{.log = 7, .before = 5, .after = 10};
    CHECK(behind_a_group.is_covered(7, 6));
    CHECK_FALSE(behind_a_group.is_covered(7, 5));
    const bad_spot behind_a_log{.log = 7, .before_in = 6, .before_there = 5, .after = 10};
    CHECK(behind_a_log.is_covered(6, 6));
    CHECK_FALSE(behind_a_log.is_covered(7, 6));  // of another process
}

TEST_CASE("tables prove nothing of a log that a later process has recovered from, and whose sequences it gave again") {
    const bad_spot spot{.log = 5, .before = 10, .after = 30};
    log_findings alone{{spot}, {{5, 5}, {6, 5}}};
    alone.believe_tables(20);
    CHECK(alone.damage());
    log_findings superseded{{spot}, {{5, 5}, {9, 9}}};
    superseded.believe_tables(20);
    CHECK_FALSE(superseded.damage());
}

TEST_CASE("tables prove nothing of a log that holds nothing: what was torn may be the first that another process wrote") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    REQUIRE_FALSE(commit(*live, open_shard(*live), numbered(0)));
    const crash_image image(scratch.path());
    std::ofstream(image.path / log_file_name(999), std::ios::binary) << "half a header or so";
    auto found = scan_logs(*rocksdb::FileSystem::Default(), image.path.string());
    REQUIRE(found);
    REQUIRE(found.value().spots.size() == 1);
    found.value().believe_tables(1'000'000);
    CHECK_FALSE(found.value().damage());
}

TEST_CASE("a group that ends behind the end of its log is torn, whatever was read where its end would be") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    commit_blocks(*live, scratch.path(), 32);  // they are read at once, and are 'x' where the next ones are
    const auto epoch = open_shard(*live);
    REQUIRE_FALSE(commit(*live, epoch, one(32, 5000)));
    const auto begins = crash_image(scratch.path()).end();
    REQUIRE_FALSE(commit(*live, epoch, one(33, 2000)));
    const crash_image image(scratch.path());
    fs::resize_file(image.log(), image.end() - 1000);
    const auto found = scan_logs(*rocksdb::FileSystem::Default(), image.path.string());
    REQUIRE(found);
    REQUIRE(found.value().spots.size() == 1);
    CHECK(found.value().spots[0].offset == begins);
    CHECK(found.value().spots[0].ends_log);
}

TEST_CASE("of a file that is not there nothing is sound") {
    const scratch_directory scratch;
    CHECK(front_of(*rocksdb::FileSystem::Default(), (scratch.path() / "MANIFEST-000001").string()).bytes == 0);
}

TEST_CASE("a file in the log's format is all sound when behind its records are zeros, or one that goes on behind its end, and nothing else") {
    const scratch_directory scratch;
    const auto live = open_or_fail(options_for(scratch.path()));
    const auto epoch = open_shard(*live);
    const auto begins = crash_image(scratch.path()).end();
    REQUIRE_FALSE(commit(*live, epoch, one(0, block - begins - 2 * 7 - batch_bytes)));  // the next one begins with a header and no more
    REQUIRE_FALSE(commit(*live, epoch, one(1, 1000)));
    const crash_image image(scratch.path());
    const auto ends = image.end();
    REQUIRE(fs::file_size(image.log()) > 2 * block);
    REQUIRE((block < ends && ends < 2 * block));
    image.overwrite(0, as_of_log(image.bytes().substr(0, ends), image.number(), 0));  // a manifest has no salt
    const auto front = [&] { return front_of(*rocksdb::FileSystem::Default(), image.log().string()); };
    SECTION("zeros") {
        CHECK(front().bytes == ends);
        CHECK(front().is_all);
    }
    SECTION("zeros, and a bit among them") {
        image.flip(GENERATE_COPY(ends + 100, 2 * block + 100));
        CHECK(front().bytes == ends);
        CHECK_FALSE(front().is_all);
    }
    SECTION("a record that goes on behind the end") {
        fs::resize_file(image.log(), ends - 3);
        CHECK(front().bytes == block);
        CHECK(front().is_all);
    }
    SECTION("a damaged header without a payload at the end of a block") {
        image.flip(block - 7);
        CHECK(front().bytes == block - 7);
        CHECK_FALSE(front().is_all);
    }
}

TEST_CASE("a mark is read back, and nothing else is taken for one") {
    synced_mark read_back;
    const synced_mark mark{1, 2, 3};
    const auto bytes = encode(mark);
    REQUIRE(parse_mark({bytes.data(), bytes.size()}, read_back));
    CHECK(read_back == mark);
    CHECK_FALSE(parse_mark({bytes.data(), bytes.size() - 1}, read_back));
    CHECK_FALSE(parse_mark("no mark, though of just 28 b", read_back));
}

}  // namespace millrace::storage
