// Tables, the manifest and CURRENT are kept twice: damage to one of the two costs nothing, and is told.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <set>

#include "tests/storage/crash_image.hpp"
#include "tests/storage/engines.hpp"
#include "tests/storage/forgetful_file_system.hpp"

namespace millrace::storage {
namespace {

using Catch::Matchers::Contains;

struct copied_store {
    scratch_directory scratch;
    std::vector<std::string> told;
    std::unique_ptr<store> opened;

    copied_store() {
        open();
        const auto epoch = open_shard(*opened);
        for (std::uint64_t i = 0; i < 20; ++i) {
            REQUIRE_FALSE(commit(*opened, epoch, {append(partition(1), i, i, text(i)), core::put_row{"row" + std::to_string(10 + i), text(i)}}));
        }
        open();  // recovery moves the log into files
    }

    static std::string text(std::uint64_t i) { return "words of " + std::to_string(i) + std::string(50, '.'); }

    rocksdb_options options(bool salvage = false) {
        auto options = options_for(scratch.path());
        options.salvage = salvage;
        options.tell = [this](const std::string& line) { told.push_back(line); };
        return options;
    }

    void open(bool salvage = false) {
        opened.reset();
        opened = open_or_fail(options(salvage));
    }

    std::vector<fs::path> files(const std::string& ending) const {
        std::vector<fs::path> found;
        for (const auto& file : fs::directory_iterator(scratch.path())) {
            if (file.path().string().ends_with(ending)) {
                found.push_back(file.path());
            }
        }
        return found;
    }

    /// Those that hold the words, the newest last.
    std::vector<fs::path> files_with(const std::string& ending, const std::string& words) const {
        auto found = files(ending);
        std::erase_if(found, [&](const fs::path& path) {
            std::ifstream file(path, std::ios::binary);
            return std::string{std::istreambuf_iterator<char>(file), {}}.find(words) == std::string::npos;
        });
        std::sort(found.begin(), found.end());
        return found;
    }

    /// The file that CURRENT names.
    std::string manifest() const {
        std::ifstream current(scratch.path() / "CURRENT");
        std::string name;
        current >> name;
        return name;
    }

    void flip(const std::string& name, std::uint64_t at) const { flip_bits(scratch.path() / name, at, 0x40); }

    /// Turns a bit over wherever the words stand in a file with this ending; the name of the last.
    std::string damage(const std::string& ending, const std::string& words) const {
        std::string name;
        for (const auto& path : files(ending)) {
            std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
            const std::string bytes{std::istreambuf_iterator<char>(file), {}};
            const auto at = bytes.find(words);
            if (at == std::string::npos) {
                continue;
            }
            file.clear();
            file.seekp(static_cast<std::streamoff>(at));
            file.put(static_cast<char>(bytes[at] ^ 4));
            name = path.filename().string();
        }
        REQUIRE_FALSE(name.empty());
        return name;
    }

    void check_told_of_two_tables() const {
        REQUIRE(told.size() == 2);
        for (const auto& line : told) CHECK_THAT(line, Contains("mended: "));
    }

    void check_whole() {
        const auto entries = read_texts(*opened, partition(1));
        REQUIRE(entries.size() == 20);
        for (std::uint64_t i = 0; i < 20; ++i) {
            CHECK(entries[i].text == text(i));
        }
        CHECK(rows_of(*opened, "row", "row~").size() == 20);
    }
};

}  // namespace

TEST_CASE_METHOD(copied_store, "every table, the manifest and CURRENT have a copy, and no copy is alone") {
    REQUIRE_FALSE(files(".sst").empty());
    for (const auto& table : files(".sst")) {
        CHECK(fs::exists(table.string() + ".copy"));
    }
    for (const auto& copy : files(".copy")) {
        CHECK(fs::exists(copy.string().substr(0, copy.string().size() - 5)));
    }
    CHECK(fs::exists(scratch.path() / (manifest() + ".copy")));

    std::ofstream(scratch.path() / "000999.sst.copy") << "of a table that was never finished";
    open();
    CHECK_FALSE(fs::exists(scratch.path() / "000999.sst.copy"));
    check_whole();
}

TEST_CASE_METHOD(copied_store, "a damaged table is mended while the store is open, and whoever reads does not notice") {
    const auto of_rows = GENERATE(true, false);
    const auto file = damage(".sst", of_rows ? "row" : "words of 7");
    check_whole();
    REQUIRE(told.size() >= 1);
    CHECK_THAT(told.front(), Contains("mended: ") && Contains(".sst was damaged and was made anew from its copy; nothing of it is lost"));
    const auto lines = told.size();
    check_whole();
    const auto epoch = open_shard(*opened);
    CHECK_FALSE(commit(*opened, epoch, {core::put_row{"later", "x"}}));
    open();
    check_whole();
    CHECK(told.size() == lines);
}

TEST_CASE_METHOD(copied_store, "a damaged table that says it has no checksums is mended before anything of it is believed") {
    const auto of_rows = GENERATE(true, false);
    const auto path = scratch.path() / damage(".sst", of_rows ? "row" : "words of 7");
    opened.reset();
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(path)) - 53);
    REQUIRE(file.peek() != 0);
    file.put('\0');
    file.close();
    open();
    check_whole();
    REQUIRE_FALSE(told.empty());
    CHECK_THAT(told.front(), Contains("mended: ") && Contains("no checksums"));
}

TEST_CASE_METHOD(copied_store, "salvage mends every damaged table, also one that nobody reads yet") {
    damage(".sst", "words of 7");  // one of rows, and one of entries
    open(true);
    check_told_of_two_tables();
    check_whole();
}

TEST_CASE_METHOD(copied_store, "a damaged table of the engine's own is mended when a shard is opened, though the store did not need it before") {
    const auto epoch = open_shard(*opened);
    open();  // the newest table has this epoch, and no more
    const auto tables = files_with(".sst", "epoch/");
    REQUIRE(tables.size() > 1);
    const auto is_open = GENERATE(true, false);
    if (!is_open) opened.reset();
    damage(tables.back().filename().string(), "epoch/");
    if (!is_open) open();
    CHECK(told.empty());
    CHECK(open_shard(*opened) > epoch);
    REQUIRE(told.size() == 1);
    CHECK_THAT(told.front(), Contains("mended: " + tables.back().filename().string()));
    check_whole();
}

TEST_CASE_METHOD(copied_store, "a damaged table that a compaction meets is mended when the store is opened again") {
    opened.reset();
    auto scarce = options();
    scarce.disk_reserve = std::uint64_t{1} << 60;  // then it compacts what was freed at once
    opened = open_or_fail(scarce);
    auto epoch = open_shard(*opened);
    damage(".sst", "words of 7");
    error refused = commit(*opened, epoch, {free_of(partition(1), 3)});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (std::uint64_t i = 0; !refused && std::chrono::steady_clock::now() < deadline; ++i) {
        refused = commit(*opened, epoch, {core::put_row{"later", std::to_string(i)}});
    }
    REQUIRE(refused.code == errc::outcome_unknown);
    CHECK(told.empty());
    epoch = open_shard(*opened);
    check_told_of_two_tables();
    CHECK_FALSE(commit(*opened, epoch, {core::put_row{"later", "x"}}));
    CHECK(read_texts(*opened, partition(1)).size() == 19);
}

TEST_CASE_METHOD(copied_store, "a store that is opened again because a write failed does not read every table for it") {
    const auto disk = std::make_shared<forgetful_file_system>();
    opened.reset();
    auto faulty = options();
    faulty.file_system = disk;
    opened = open_or_fail(faulty);
    const auto epoch = open_shard(*opened);
    REQUIRE_FALSE(commit(*opened, epoch, {core::put_row{"later", "x"}}));
    damage(".sst", "words of 7");
    disk->fail_writes({".log"});
    CHECK(commit(*opened, epoch, {core::put_row{"later", "y"}}).code == errc::outcome_unknown);
    open_shard(*opened);
    CHECK(told.empty());
    check_whole();
    CHECK_FALSE(told.empty());
}

TEST_CASE_METHOD(copied_store, "a store that does not open again behind a table that was mended says so, and opens when it can") {
    const auto disk = std::make_shared<forgetful_file_system>();
    opened.reset();
    auto faulty = options();
    faulty.file_system = disk;
    opened = open_or_fail(faulty);
    open_shard(*opened);
    damage(".sst", "words of 7");
    disk->fail_writes({".dbtmp", 0, file_fault::io_error, true});  // what CURRENT is made of
    CHECK(opened->read(partition(1), {0}, 1u << 20).failure().code == errc::storage_failure);
    REQUIRE(told.size() == 2);
    CHECK_THAT(told[0], Contains("mended: "));
    CHECK_THAT(told[1], Contains("did not open again after "));
    CHECK_FALSE(opened->open(first_shard));
    disk->heal();
    const auto epoch = open_shard(*opened);
    check_whole();
    CHECK_FALSE(commit(*opened, epoch, {core::put_row{"later", "x"}}));
}

TEST_CASE_METHOD(copied_store, "what a damaged table holds is not passed over when something near it was dropped") {
    // In one table what is dropped; in a newer one what stands in front of it, and the drop.
    auto epoch = open_shard(*opened);
    REQUIRE_FALSE(commit(*opened, epoch, {append(partition(2, 1), 0, 0, "dropped"), core::put_row{"topic9", "erased"}}));
    open();
    epoch = open_shard(*opened);
    REQUIRE_FALSE(commit(*opened, epoch, {append(partition(2), 0, 0, "words of topic 2"), core::drop_partition{partition(2, 1)}, core::put_row{"topic2", "words of a row"},
                                          core::erase_rows{{"topic9", "topic99"}}}));
    open();
    const auto of_rows = GENERATE(true, false);
    damage(".sst", of_rows ? "words of a row" : "words of topic 2");
    opened.reset();
    open();
    CHECK(read_texts(*opened, partition(2)).size() == 1);
    CHECK(read_texts(*opened, partition(2, 1)).empty());
    CHECK(rows_of(*opened, "topic", "topic~") == std::vector<core::row>{{"topic2", "words of a row"}});
    REQUIRE_FALSE(told.empty());
    CHECK_THAT(told.front(), Contains("mended: "));
}

TEST_CASE_METHOD(copied_store, "a table whose copy is damaged as well is named, and not served") {
    damage(".sst", "words of 7");
    damage(".sst.copy", "words of 7");
    opened.reset();
    open();
    const auto found = opened->read(partition(1), {0}, 1u << 20);
    const auto whole = found && std::all_of(found.value().begin(), found.value().end(), [](const auto& e) { return e.damage.empty(); });
    CHECK_FALSE(whole);
}

TEST_CASE_METHOD(copied_store, "a damaged manifest is mended before RocksDB opens without what it named") {
    opened.reset();
    const auto name = manifest();
    flip(name, GENERATE(as<std::uint64_t>{}, 4, 5, 0, 20));  // the length, which looks like a torn tail; the CRC; what is named
    open();
    check_whole();
    REQUIRE(told.size() == 1);
    CHECK_THAT(told.front(), Contains("mended: " + name) && Contains("nothing is lost"));
}

TEST_CASE_METHOD(copied_store, "what a cut of the power left behind a manifest, and not behind its copy, is cut") {
    opened.reset();
    const auto name = manifest();
    const auto of_copy = GENERATE(as<std::string>{}, "", std::string("1234\x05\0\x01wor", 10), std::string("1234\x05\0\x01wurds", 12));  // nothing, part of it, as damaged
    const auto append_to = [&](const std::string& file, const std::string& bytes) { std::ofstream(scratch.path() / file, std::ios::binary | std::ios::app) << bytes; };
    append_to(name, std::string("1234\x05\0\x01words", 12));  // a record whose CRC is not its own
    append_to(name + ".copy", of_copy);
    open();
    check_whole();
    REQUIRE(told.size() == 1);
    CHECK_THAT(told.front(), Contains("mended: " + name) && Contains("was cut there"));
}

TEST_CASE_METHOD(copied_store, "of a manifest whose end reached the disk in the copy not at all, or in part, what is sound stays") {
    opened.reset();
    const auto name = manifest();
    const auto copy = scratch.path() / (name + ".copy");
    fs::resize_file(copy, fs::file_size(copy) - 3);  // in its last record
    std::ofstream(scratch.path() / name, std::ios::binary | std::ios::app) << std::string("1234\x05\0\x01words", 12);  // a record whose CRC is not its own
    open();
    check_whole();
    REQUIRE(told.size() == 1);
    CHECK_THAT(told.front(), Contains("mended: " + name) && Contains("was cut there"));
}

TEST_CASE_METHOD(copied_store, "a manifest and a copy that are both damaged are not cut: RocksDB names the manifest") {
    opened.reset();
    const auto name = manifest();
    flip(name, fs::file_size(scratch.path() / name) - 3);
    flip(name + ".copy", 20);
    const auto refused = open_rocksdb_store(options_for(scratch.path()));
    REQUIRE_FALSE(refused);
    CHECK(refused.failure().code == errc::corruption);
    CHECK_THAT(refused.failure().what, Contains(name));
}

TEST_CASE_METHOD(copied_store, "CURRENT is mended") {
    opened.reset();
    SECTION("that names nothing") { std::ofstream(scratch.path() / "CURRENT", std::ios::trunc) << "MANIFEST-\x01"; }
    SECTION("that is not there") { fs::remove(scratch.path() / "CURRENT"); }
    open();
    check_whole();
    REQUIRE(told.size() == 1);
    CHECK_THAT(told.front(), Contains("mended: CURRENT"));
}

TEST_CASE_METHOD(copied_store, "where CURRENT and its copy are missing and messages are not, no new store is begun over them") {
    opened.reset();
    fs::remove(scratch.path() / "CURRENT");
    fs::remove(scratch.path() / "CURRENT.copy");
    const auto tables = files(".sst").size();
    SECTION("tables and logs") {}
    SECTION("a log alone") {
        for (const auto& table : files(".sst")) fs::remove(table);
    }
    const auto left = files(".sst").size() + files(".log").size();
    REQUIRE(tables > 0);
    REQUIRE(left > 0);
    const auto refused = open_rocksdb_store(options_for(scratch.path()));
    REQUIRE_FALSE(refused);
    CHECK(refused.failure().code == errc::corruption);
    CHECK_THAT(refused.failure().what, Contains("CURRENT"));
    CHECK(files(".sst").size() + files(".log").size() == left);
}

TEST_CASE_METHOD(copied_store, "of two manifests that CURRENT and its copy name the newer one is right, unless it does not open") {
    opened.reset();
    const auto name = manifest();
    const auto write = [&](const std::string& file, const std::string& bytes) { std::ofstream(scratch.path() / file, std::ios::trunc) << bytes; };
    const std::string older = "MANIFEST-000001", newer = "MANIFEST-999999";
    REQUIRE((older < name && name < newer));
    SECTION("CURRENT names an older one") { write(older, ""), write("CURRENT", older + "\n"); }
    SECTION("the copy names an older one") { write(older, ""), write("CURRENT.copy", older + "\n"); }
    SECTION("CURRENT names one that was never finished") { write(newer, ""), write("CURRENT", newer + "\n"); }
    SECTION("the copy names one that was never finished") { write(newer, ""), write("CURRENT.copy", newer + "\n"); }
    open();
    check_whole();
}

TEST_CASE_METHOD(copied_store, "a store without copies, of an earlier program, opens and gets them") {
    opened.reset();
    for (const auto& copy : files(".copy")) {
        fs::remove(copy);
    }
    open();
    check_whole();
    CHECK(told.empty());
    CHECK_FALSE(files(".copy").empty());
}

}  // namespace millrace::storage
