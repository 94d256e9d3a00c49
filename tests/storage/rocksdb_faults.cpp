// What the rocksdb: engine promises when the disk forgets, fails and fills.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/storage/engines.hpp"
#include "tests/storage/forgetful_file_system.hpp"

namespace millrace::storage {
namespace {

struct faulty_engine {
    scratch_directory scratch;
    std::shared_ptr<forgetful_file_system> files = std::make_shared<forgetful_file_system>();
    std::unique_ptr<store> opened;

    explicit faulty_engine(durability level = durability::disk) { reopen(level); }

    rocksdb_options options(durability level = durability::disk) const {
        auto chosen = options_for(scratch.path());
        chosen.level = level;
        chosen.file_system = files;
        return chosen;
    }

    void reopen(durability level = durability::disk) {
        opened.reset();
        opened = open_or_fail(options(level));
    }

    /// The machine ends, and starts again.
    void lose_power(durability level = durability::disk) {
        files->forget();
        opened.reset();
        files = std::make_shared<forgetful_file_system>();
        reopen(level);
    }
};

std::vector<core::mutation> numbered(std::uint64_t number, std::size_t bytes = 100) {
    std::vector<core::mutation> group;
    group.emplace_back(append(partition(1), number, number, std::string(bytes, 'x')));
    group.emplace_back(core::put_row{"last", std::to_string(number)});
    return group;
}

/// Entries 0 … n-1 without a gap, and the row that was put with the last: a group is there whole or not at all. Gives n.
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

void flip_byte_of_blobs(const std::filesystem::path& directory) {
    for (const auto& file : std::filesystem::directory_iterator(directory)) {
        if (file.path().extension() == ".blob") flip_bits(file.path(), 50'000, 1);
    }
}

}  // namespace

TEST_CASE("what was answered survives the loss of everything that was not synced") {
    faulty_engine engine;
    std::uint64_t next = 0;
    for (int round = 0; round < 3; ++round) {
        const auto epoch = open_shard(*engine.opened);
        for (int i = 0; i < 60; ++i, ++next) {
            REQUIRE_FALSE(commit(*engine.opened, epoch, numbered(next, i % 3 == 0 ? 150'000 : 100)));
        }
        engine.lose_power();
        CHECK(consistent_groups(*engine.opened) == next);
        CHECK(open_shard(*engine.opened) > epoch);
    }
}

TEST_CASE("what was written and not synced is lost, whole groups at a time") {
    faulty_engine engine(durability::buffered);
    const auto epoch = open_shard(*engine.opened);
    for (std::uint64_t i = 0; i < 20; ++i) {
        REQUIRE_FALSE(commit(*engine.opened, epoch, numbered(i)));
    }
    engine.lose_power(durability::buffered);
    CHECK(consistent_groups(*engine.opened) == 0);
}

TEST_CASE("answers given while groups are under way are kept when the power goes") {
    faulty_engine engine;
    engine.files->slow_syncs(std::chrono::microseconds(2000));
    const auto epoch = open_shard(*engine.opened);
    std::atomic<std::uint64_t> answered{0};
    std::atomic<bool> refused{false};
    for (std::uint64_t i = 0; i < 200; ++i) {
        engine.opened->commit(first_shard, epoch, numbered(i, 5000), [&](const error& outcome) {
            refused = refused || outcome;
            answered += refused ? 0 : 1;
        });
    }
    while (answered < 40) {
        std::this_thread::yield();
    }
    engine.lose_power();
    CHECK(consistent_groups(*engine.opened) >= answered);
}

TEST_CASE("a failing sync is told apart from a failing write, and the next open brings one truth") {
    const bool small = GENERATE(true, false);
    CAPTURE(small);
    faulty_engine engine;
    auto epoch = open_shard(*engine.opened);
    REQUIRE_FALSE(commit(*engine.opened, epoch, numbered(0)));
    engine.files->fail_syncs({".log"});
    CHECK(commit(*engine.opened, epoch, numbered(1, small ? 100 : 200'000)).code == errc::sync_failed);
    CHECK(commit(*engine.opened, epoch, numbered(2)).code == errc::sync_failed);

    const auto before = epoch;
    epoch = open_shard(*engine.opened);
    CHECK(epoch > before);
    const auto kept = consistent_groups(*engine.opened);
    CHECK((kept == 1 || kept == 2));
    CHECK(commit(*engine.opened, before, numbered(kept)).code == errc::fenced);
    for (auto next = kept; next < 50; ++next) {
        REQUIRE_FALSE(commit(*engine.opened, epoch, numbered(next, 70'000)));
    }
    CHECK(consistent_groups(*engine.opened) == 50);
    engine.lose_power();
    CHECK(consistent_groups(*engine.opened) == 50);
}

TEST_CASE("a failing write leaves the outcome unknown, its remains do not come back under later groups") {
    const auto fault = GENERATE(file_fault::io_error, file_fault::no_space);
    const auto after = GENERATE(0u, 1u, 2u);
    CAPTURE(after);
    faulty_engine engine;
    auto epoch = open_shard(*engine.opened);
    REQUIRE_FALSE(commit(*engine.opened, epoch, numbered(0)));
    engine.files->fail_writes({".log", after, fault, true});  // one that fails while zeros are written ahead fails nobody
    std::uint64_t next = 1;
    error refused;
    while (!refused && next < 20) {
        refused = commit(*engine.opened, epoch, numbered(next, 3u << 20));  // several appends to the log's file
        next += refused ? 0 : 1;
    }
    CHECK(refused.code == errc::outcome_unknown);
    CHECK(refused.what.find("injected") != std::string::npos);
    engine.files->heal();

    epoch = open_shard(*engine.opened);
    auto kept = consistent_groups(*engine.opened);
    CHECK((kept == next || kept == next + 1));
    for (int i = 0; i < 10; ++i, ++kept) {
        REQUIRE_FALSE(commit(*engine.opened, epoch, numbered(kept)));
    }
    engine.lose_power();
    CHECK(consistent_groups(*engine.opened) == kept);
}

TEST_CASE("a log that cannot be made is a failed write, whichever memtables wait for it, and the store goes on when it is opened again") {
    const auto fault = GENERATE(file_fault::io_error, file_fault::no_space);
    const bool rows_are_full_too = GENERATE(false, true);
    const std::string much(3u << 20, 'x');  // more than a memtable takes
    CAPTURE(fault, rows_are_full_too);
    faulty_engine engine;
    auto epoch = open_shard(*engine.opened);
    auto filling = numbered(0, much.size());
    if (rows_are_full_too) filling.emplace_back(core::put_row{"much", much});
    REQUIRE_FALSE(commit(*engine.opened, epoch, std::move(filling)));
    engine.files->fail_new_files({".log", 0, fault, true});
    const auto refused = commit(*engine.opened, epoch, numbered(1));
    CHECK(refused.code == errc::outcome_unknown);
    CHECK_THAT(refused.what, Catch::Contains("injected"));
    CHECK_FALSE(engine.opened->open(first_shard));  // nor can one be made to open it
    engine.files->heal();

    epoch = open_shard(*engine.opened);
    const auto kept = consistent_groups(*engine.opened);
    CHECK(kept == 1);
    CHECK(rows_of(*engine.opened, "much", "much~").size() == (rows_are_full_too ? 1 : 0));
    CHECK_FALSE(commit(*engine.opened, epoch, numbered(kept)));
    engine.lose_power();
    CHECK(consistent_groups(*engine.opened) == kept + 1);
}

TEST_CASE("a failure poisons the other shards too, each until it is opened again") {
    faulty_engine engine;
    const auto epoch = open_shard(*engine.opened);
    const auto other = open_shard(*engine.opened, second_shard);
    engine.files->fail_writes({".log"});
    CHECK(commit(*engine.opened, epoch, numbered(0)).code == errc::outcome_unknown);
    CHECK(commit(*engine.opened, other, {}, second_shard).code == errc::outcome_unknown);
    const auto again = open_shard(*engine.opened);
    CHECK_FALSE(commit(*engine.opened, again, {}));
    CHECK(commit(*engine.opened, other, {}, second_shard).code == errc::outcome_unknown);
    CHECK_FALSE(commit(*engine.opened, open_shard(*engine.opened, second_shard), {}, second_shard));
}

TEST_CASE("a full disk refuses by name, and the store goes on when there is space again, without a restart") {
    faulty_engine engine;
    auto epoch = open_shard(*engine.opened);
    REQUIRE_FALSE(commit(*engine.opened, epoch, numbered(0)));
    CHECK(std::filesystem::exists(engine.scratch.path() / "ballast"));
    engine.files->fail_writes({"", 0, file_fault::no_space, true});
    CHECK(commit(*engine.opened, epoch, numbered(1)).code == errc::outcome_unknown);
    for (int i = 0; i < 3; ++i) {
        const auto refused = engine.opened->open(first_shard);
        REQUIRE_FALSE(refused);
        CHECK(refused.failure().code == errc::disk_full);
        CHECK_FALSE(std::filesystem::exists(engine.scratch.path() / "ballast"));  // given up, and not enough
    }
    CHECK(engine.opened->read(partition(1), {0}, 100).failure().code == errc::storage_failure);
    CHECK(commit(*engine.opened, epoch, numbered(1)).code == errc::outcome_unknown);

    engine.files->heal();
    epoch = open_shard(*engine.opened);
    const auto kept = consistent_groups(*engine.opened);
    CHECK((kept == 1 || kept == 2));
    CHECK_FALSE(commit(*engine.opened, epoch, numbered(kept)));
    engine.lose_power();
    CHECK(consistent_groups(*engine.opened) == kept + 1);
}

TEST_CASE("a shard that is opened on a full disk gets the room that the ballast has") {
    faulty_engine engine;
    auto options = engine.options();
    std::vector<std::string> told;
    options.tell = [&](const std::string& line) { told.push_back(line); };
    engine.opened.reset();
    engine.opened = open_or_fail(options);
    const auto lasts = GENERATE(false, true);
    engine.files->fail_writes({".log", 0, file_fault::no_space, lasts});
    const auto opened = engine.opened->open(first_shard);
    REQUIRE(!opened == lasts);
    if (lasts) CHECK(opened.failure().code == errc::disk_full);
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("the ballast of ") != std::string::npos);
    engine.files->heal();
    open_shard(*engine.opened);
}

TEST_CASE("a shard that cannot be opened because a write fails is opened again, and the ballast stays") {
    faulty_engine engine;
    engine.files->fail_writes({".log"});
    CHECK_FALSE(engine.opened->open(first_shard));
    CHECK(std::filesystem::exists(engine.scratch.path() / "ballast"));
    engine.files->heal();
    open_shard(*engine.opened);
}

TEST_CASE("a flush that fails refuses later commits, and loses nothing that was answered") {
    faulty_engine engine;
    auto epoch = open_shard(*engine.opened);
    engine.files->fail_writes({".blob", 0, file_fault::io_error, true});
    std::uint64_t next = 0;
    error refused;
    while (!refused && next < 200) {
        refused = commit(*engine.opened, epoch, numbered(next, 200'000));
        next += refused ? 0 : 1;
    }
    CHECK(refused.code == errc::outcome_unknown);
    engine.files->heal();
    epoch = open_shard(*engine.opened);
    const auto kept = consistent_groups(*engine.opened);
    CHECK(kept >= next);
    CHECK_FALSE(commit(*engine.opened, epoch, numbered(kept)));
}

TEST_CASE("a flipped byte of an entry is corruption, its neighbours can be read") {
    const scratch_directory scratch;
    const auto text = std::string(100'000, 'x');
    {
        const auto opened = open_or_fail(options_for(scratch.path()));
        REQUIRE_FALSE(commit(*opened, open_shard(*opened), {append(partition(1), 0, 0, text), append(partition(1), 1, 1, text)}));
    }
    { open_or_fail(options_for(scratch.path())); }  // recovery moves the log into files
    flip_byte_of_blobs(scratch.path());
    const auto opened = open_or_fail(options_for(scratch.path()));
    const auto found = opened->read(partition(1), {0}, 1u << 20);
    REQUIRE(found);
    REQUIRE(found.value().size() == 2);
    const auto& damaged = found.value()[0];
    CHECK(damaged.last == sequence{0});
    CHECK_FALSE(damaged.bytes);
    CHECK_THAT(damaged.damage, Catch::Contains("Corruption"));
    CHECK(text_of(found.value()[1].bytes) == text);
    CHECK(read_texts(*opened, partition(1), 1) == std::vector<text_entry>{{1, text}});
}

TEST_CASE("a flipped byte of an entry that was dropped with its partition is nobody's damage") {
    const scratch_directory scratch;
    {
        const auto opened = open_or_fail(options_for(scratch.path()));
        REQUIRE_FALSE(commit(*opened, open_shard(*opened), {append(partition(1), 0, 0, std::string(100'000, 'x'))}));
    }
    { open_or_fail(options_for(scratch.path())); }  // recovery moves the log into files
    flip_byte_of_blobs(scratch.path());
    const auto opened = open_or_fail(options_for(scratch.path()));
    REQUIRE_FALSE(commit(*opened, open_shard(*opened), {core::drop_partition{partition(1)}, append(partition(1), 1, 1, "of a later one")}));
    CHECK(read_texts(*opened, partition(1)) == std::vector<text_entry>{{1, "of a later one"}});
    REQUIRE_FALSE(commit(*opened, open_shard(*opened), {core::drop_partition{partition(1)}}));
    const auto found = opened->read(partition(1), {0}, 1u << 20);
    REQUIRE(found);
    CHECK(found.value().empty());
}

TEST_CASE("an epoch whose sync fails is not given out twice") {
    faulty_engine engine;
    const auto epoch = open_shard(*engine.opened);
    engine.files->fail_syncs({".log"});
    const auto refused = engine.opened->open(first_shard);
    REQUIRE_FALSE(refused);
    CHECK(refused.failure().code == errc::sync_failed);
    const auto next = open_shard(*engine.opened);
    CHECK(next > epoch);
    CHECK_FALSE(commit(*engine.opened, next, numbered(0)));
    engine.lose_power();
    CHECK(consistent_groups(*engine.opened) == 1);
    CHECK(open_shard(*engine.opened) > next);
}

TEST_CASE("destroying a store finishes what is under way") {
    faulty_engine engine;
    engine.files->slow_syncs(std::chrono::microseconds(3000));
    const auto epoch = open_shard(*engine.opened);
    std::atomic<int> good{0};
    for (std::uint64_t i = 0; i < 50; ++i) {
        engine.opened->commit(first_shard, epoch, numbered(i, 80'000), [&](const error& outcome) { good += outcome ? 0 : 1; });
    }
    engine.opened.reset();
    CHECK(good == 50);
    engine.reopen();
    CHECK(consistent_groups(*engine.opened) == 50);
}

TEST_CASE("one sync covers the groups that gathered during the last") {
    faulty_engine engine;
    engine.files->slow_syncs(std::chrono::microseconds(3000));
    const auto epoch = open_shard(*engine.opened);
    const auto before = engine.files->syncs();
    for (std::uint64_t i = 0; i < 300; ++i) {
        engine.opened->commit(first_shard, epoch, numbered(i), [](const error&) {});
    }
    CHECK_FALSE(commit(*engine.opened, epoch, {}));
    CHECK(engine.files->syncs() - before < 100);
    CHECK(consistent_groups(*engine.opened) == 300);
}

}  // namespace millrace::storage
