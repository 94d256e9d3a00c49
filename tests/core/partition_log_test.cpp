#include "broker/core/partition_log.hpp"

#include <catch2/catch.hpp>

namespace millrace::core {
namespace {

timestamp at(int seconds) { return timestamp{std::chrono::seconds{seconds}}; }

/// `count` records of `bytes` each.
std::vector<std::uint32_t> records(std::uint32_t count, std::uint32_t bytes) {
    std::vector<std::uint32_t> ends;
    for (std::uint32_t i = 1; i <= count; ++i) ends.push_back(i * bytes);
    return ends;
}

shared_index entry(std::uint64_t first, std::uint32_t count, std::uint32_t bytes = 10) {
    auto index = std::make_shared<entry_index>();
    index->first = {first};
    index->batches.push_back({{first}, count, at(1)});
    index->ends = records(count, bytes);
    return index;
}

/// A log of `entries` durable entries of ten messages of ten bytes.
partition_log filled(int entries) {
    partition_log log(log_row{});
    std::vector<mutation> out;
    for (int i = 1; i <= entries; ++i) {
        log.append(at(i), records(10, 10));
        log.close_entries(group_number{static_cast<std::uint64_t>(i)}, out);
        log.commit(group_number{static_cast<std::uint64_t>(i)});
    }
    return log;
}

std::vector<std::uint64_t> freed(const std::vector<mutation>& mutations) {
    std::vector<std::uint64_t> out;
    for (const auto& m : mutations) out.push_back(std::get<free_entry>(m).last.value);
    return out;
}

std::vector<mutation> reclaimed(partition_log& log, std::uint64_t low, const topic_settings& keep = {}, timestamp now = at(100)) {
    std::vector<mutation> out;
    log.set_low({low});
    CHECK_FALSE(log.reclaim(now, keep, out));
    return out;
}

TEST_CASE("batches of one group share an entry until it is full") {
    partition_log log(log_row{});
    CHECK(log.append(at(5), records(3, 100)).entry == sequence{0});
    auto second = log.append(at(4), records(2, 100));
    CHECK(second.entry == sequence{0});
    CHECK(second.first == sequence{3});
    CHECK(log.newest() == at(5));  // never goes back
    second = log.append(at(6), records(1, partition_log::entry_bytes_max));
    CHECK(second.entry == sequence{5});
    CHECK(second.first == sequence{5});
    CHECK(log.append(at(6), records(1, 8)).entry == sequence{6});

    std::vector<mutation> out;
    log.close_entries(group_number{1}, out);
    REQUIRE(out.size() == 3);
    const auto& first = std::get<append_entry>(out[0]);
    CHECK(first.last == sequence{4});
    CHECK(first.index->ends == std::vector<std::uint32_t>{100, 200, 300, 400, 500});
    CHECK(first.index->batches.size() == 2);
    CHECK(first.index->batch_of({2}) == 0);
    CHECK(first.index->batch_of({3}) == 1);
    CHECK(first.index->count_within({1}, {4}, 250) == 2);
    CHECK(first.index->bytes_between({1}, {2}) == 200);
    CHECK_FALSE(log.has_open());
}

TEST_CASE("high moves with the commits, in order") {
    partition_log log(log_row{});
    std::vector<mutation> out;
    for (std::uint64_t g = 1; g <= 3; ++g) {
        log.append(at(1), records(2, 10));
        log.close_entries(group_number{g}, out);
    }
    CHECK(log.high() == sequence{0});
    CHECK(log.next() == sequence{6});
    CHECK_FALSE(log.find({0}));
    CHECK(log.commit(group_number{2}));
    CHECK(log.high() == sequence{4});
    CHECK(log.find({3})->first == sequence{2});
    CHECK_FALSE(log.commit(group_number{2}));
    CHECK(log.commit(group_number{3}));
    CHECK(log.to_row() == log_row{{}, {6}, {0}, {0}, 60, 0});
}

TEST_CASE("settled entries go from the front, whole") {
    auto log = filled(4);
    CHECK(freed(reclaimed(log, 9)).empty());
    CHECK(freed(reclaimed(log, 25)) == std::vector<std::uint64_t>{9, 19});
    CHECK(log.start() == sequence{20});
    CHECK(log.bytes() == 200);
    CHECK(freed(reclaimed(log, 40)) == std::vector<std::uint64_t>{29, 39});
    CHECK(log.bytes() == 0);
    CHECK(log.backlog_bytes() == 0);
}

TEST_CASE("kept by bytes, by age, by either") {
    topic_settings keep;
    keep.keep_bytes = 150;
    auto log = filled(4);
    CHECK(freed(reclaimed(log, 40, keep)) == std::vector<std::uint64_t>{9, 19, 29});
    CHECK(log.backlog_bytes() == 0);

    keep = {};
    keep.keep_age = std::chrono::seconds{10};
    auto aged = filled(4);
    CHECK(freed(reclaimed(aged, 40, keep, at(12))) == std::vector<std::uint64_t>{9});
    CHECK(freed(reclaimed(aged, 40, keep, at(14))) == std::vector<std::uint64_t>{19, 29});

    keep.keep_bytes = 1000;
    auto both = filled(4);
    CHECK(freed(reclaimed(both, 40, keep, at(12))) == std::vector<std::uint64_t>{9});
}

TEST_CASE("low may go back among the kept") {
    topic_settings keep;
    keep.keep_bytes = 1000;
    auto log = filled(4);
    CHECK(reclaimed(log, 40, keep).empty());
    CHECK(log.kept_to() == sequence{40});
    CHECK(log.backlog_bytes() == 0);
    CHECK(reclaimed(log, 20, keep).empty());
    CHECK(log.kept_to() == sequence{20});
    CHECK(log.backlog_bytes() == 200);
}

TEST_CASE("nothing beyond the durable high is reclaimed or asked for") {
    partition_log log(log_row{});
    std::vector<mutation> out;
    log.append(at(1), records(10, 10));
    log.close_entries(group_number{1}, out);
    CHECK(reclaimed(log, 10).empty());
    log.commit(group_number{1});
    CHECK(freed(reclaimed(log, 10)) == std::vector<std::uint64_t>{9});
}

TEST_CASE("a hole is passed by the front and freed once") {
    auto log = filled(4);
    std::vector<mutation> out;
    log.free_hole({19}, group_number{5}, out);
    log.free_hole({29}, group_number{6}, out);
    CHECK(freed(out) == std::vector<std::uint64_t>{19, 29});
    CHECK(log.bytes() == 200);
    sequence last;
    CHECK(log.slot_at({15}, &last)->freed);
    CHECK(last == sequence{29});  // joined
    CHECK(freed(reclaimed(log, 40)) == std::vector<std::uint64_t>{9, 39});
    CHECK(log.bytes() == 0);
}

TEST_CASE("a recovered log loads what it needs, and learns of holes") {
    partition_log log(log_row{{}, {40}, {0}, {0}, 200, 0});
    std::vector<mutation> out;
    log.set_low({30});
    CHECK(log.reclaim(at(1), {}, out) == sequence{0});
    CHECK(log.begin_load({0}));
    CHECK_FALSE(log.begin_load({0}));  // under way
    log.finish_load({0}, {entry(0, 10), entry(30, 10)});
    CHECK(log.slot_at({10})->freed);
    CHECK(freed(reclaimed(log, 40)) == std::vector<std::uint64_t>{9, 39});
    log.finish_load({0}, {entry(0, 10)});  // of a load that nobody asked for
    CHECK(log.start() == sequence{40});
}

TEST_CASE("a hole is filled in around what is known of it") {
    partition_log log(log_row{{}, {100}, {0}, {0}, 100, 0});
    log.begin_load({20});
    log.finish_load({20}, {entry(40, 10)});  // 20-39
    log.begin_load({0});
    log.finish_load({0}, {entry(40, 10)});  // 0-39, of which 20-39 is known
    sequence last;
    REQUIRE(log.slot_at({5}, &last));
    CHECK(log.slot_at({5})->freed);
    CHECK(log.slot_at({19})->freed);
    log.begin_load({60});
    log.finish_load({60}, {});
    log.begin_load({50});
    log.finish_load({50}, {});
    CHECK(log.slot_at({50})->freed);
    CHECK(log.slot_at({99})->freed);
    CHECK_FALSE(log.slot_at({100}));
    CHECK_FALSE(log.slot_at({45})->freed);
}

TEST_CASE("a hole ends where an entry is known, and goes on behind it") {
    partition_log log(log_row{{}, {100}, {0}, {0}, 100, 0});
    log.begin_load({40});
    log.finish_load({40}, {entry(40, 10)});
    log.begin_load({30});
    log.finish_load({30}, {entry(60, 10)});  // 30-59, of which 40-49 is known to be an entry
    sequence last;
    CHECK(log.slot_at({30}, &last)->freed);
    CHECK(last == sequence{39});
    for (std::uint64_t s = 40; s < 50; ++s) CHECK_FALSE(log.slot_at({s}, &last)->freed);
    CHECK(last == sequence{49});
    CHECK(log.slot_at({50})->freed);
    CHECK(log.slot_at({59})->freed);
}

TEST_CASE("entries that are stored but not durable for the core are not believed") {
    partition_log log(log_row{{}, {20}, {0}, {0}, 100, 0});
    log.begin_load({0});
    log.finish_load({0}, {entry(20, 10)});
    CHECK(log.slot_at({0})->freed);
    CHECK(log.slot_at({19})->freed);
    CHECK_FALSE(log.slot_at({20}));
}

TEST_CASE("an entry read before its freeing was committed stays freed") {
    auto log = filled(3);
    std::vector<mutation> out;
    log.begin_load({10});
    log.free_hole({19}, group_number{4}, out);
    log.finish_load({10}, {entry(10, 10)});
    CHECK(log.slot_at({10})->freed);
}

TEST_CASE("the window forgets what is far from every reader, but not fresh holes") {
    auto log = filled(40);
    std::vector<mutation> out;
    log.free_hole({199}, group_number{41}, out);
    const std::vector<sequence> readers{{0}, {395}};
    log.trim(400, readers, group_number{40});
    CHECK(log.find({0}));
    CHECK(log.find({395}));
    CHECK_FALSE(log.slot_at({250}));
    CHECK(log.slot_at({195}));  // its freeing is not durable
    log.trim(0, readers, group_number{41});
    CHECK_FALSE(log.slot_at({195}));
    CHECK(log.begin_load({250}));
    log.finish_load({250}, {entry(250, 10)});
    CHECK(log.find({255}));
}

TEST_CASE("an index that comes back again and again weighs as much as once: the window does not shrink for it") {
    auto log = filled(40);
    for (int i = 0; i < 100; ++i) {
        log.release_before({10});
        log.begin_load({0});
        log.finish_load({0}, {entry(0, 10)});
    }
    const std::vector<sequence> readers(4, sequence{0});  // what is far from all of them goes first
    log.trim(2000, readers, group_number{40});
    CHECK(log.slot_at({395}));
}

TEST_CASE("entries that were freed one after the other weigh as one hole: the window does not shrink for them") {
    auto log = filled(40);
    std::vector<mutation> out;
    for (std::uint64_t last = 9; last < 300; last += 10) log.free_hole({last}, group_number{1}, out);
    const std::vector<sequence> readers(4, sequence{0});  // what is far from all of them goes first
    log.trim(1000, readers, group_number{40});
    CHECK(log.slot_at({395}));
}

TEST_CASE("indexes before every reader are dropped and come back by a load") {
    auto log = filled(3);
    log.release_before({15});
    CHECK_FALSE(log.find({5}));
    CHECK(log.slot_at({5}));
    CHECK(log.find({15}));
    log.begin_load({5});
    log.finish_load({5}, {entry(0, 10)});
    CHECK(log.find({5}));
    log.release_before({15});
    CHECK_FALSE(log.find({5}));
}

}  // namespace
}  // namespace millrace::core
