// What every engine must do: the store contract, sentence by sentence.
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

using texts = std::vector<text_entry>;
using rows = std::vector<core::row>;

engine_kind any_engine() {
    return GENERATE(engine_kind::memory, engine_kind::rocksdb, engine_kind::rocksdb_buffered);
}

#define WITH_EVERY_ENGINE(name)        \
    const auto kind = any_engine();    \
    CAPTURE(name_of(kind));            \
    engine name(kind)

}  // namespace

TEST_CASE("an empty store gives nothing") {
    WITH_EVERY_ENGINE(store);
    CHECK(read_texts(*store, partition(1)).empty());
    CHECK(rows_of(*store, "", "~").empty());
}

TEST_CASE("entries come back in order, from the one that holds the sequence asked for") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    const auto p = partition(1);
    CHECK_FALSE(commit(*store, epoch, {append(p, 0, 9, "aaaa"), append(p, 10, 10, "b"), append(p, 11, 299, "cccc")}));
    CHECK_FALSE(commit(*store, epoch, {append(p, 300, 300, "")}));

    const texts all = {{9, "aaaa"}, {10, "b"}, {299, "cccc"}, {300, ""}};
    CHECK(read_texts(*store, p, 0) == all);
    CHECK(read_texts(*store, p, 5) == all);
    CHECK(read_texts(*store, p, 9) == all);
    CHECK(read_texts(*store, p, 10) == texts(all.begin() + 1, all.end()));
    CHECK(read_texts(*store, p, 256) == texts(all.begin() + 2, all.end()));
    CHECK(read_texts(*store, p, 300) == texts{{300, ""}});
    CHECK(read_texts(*store, p, 301).empty());
}

TEST_CASE("a read stays within its bytes, but gives at least one entry") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    const auto p = partition(1);
    CHECK_FALSE(commit(*store, epoch, {append(p, 0, 0, "aaaa"), append(p, 1, 1, "bbbb"), append(p, 2, 2, "cccc")}));
    CHECK(read_texts(*store, p, 0, 0) == texts{{0, "aaaa"}});
    CHECK(read_texts(*store, p, 0, 3) == texts{{0, "aaaa"}});
    CHECK(read_texts(*store, p, 0, 7) == texts{{0, "aaaa"}});
    CHECK(read_texts(*store, p, 0, 8) == texts{{0, "aaaa"}, {1, "bbbb"}});
    CHECK(read_texts(*store, p, 1, 11) == texts{{1, "bbbb"}, {2, "cccc"}});
    CHECK(read_texts(*store, p, 1, 1'000'000) == texts{{1, "bbbb"}, {2, "cccc"}});
}

TEST_CASE("partitions do not see each other, up to the ends of their numbers") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    const auto top = ~std::uint32_t{0};
    const std::vector<core::partition_id> all = {partition(0, 0), partition(0, 1),   partition(0, 255), partition(0, 256), partition(0, top),
                                                 partition(1, 0), partition(256, 0), partition(top, 0), partition(top, top)};
    std::vector<core::mutation> group;
    for (std::size_t i = 0; i < all.size(); ++i) {
        group.emplace_back(append(all[i], 0, 0, "low " + std::to_string(i)));
        group.emplace_back(append(all[i], 1, ~std::uint64_t{0}, "high " + std::to_string(i)));
    }
    CHECK_FALSE(commit(*store, epoch, group));
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        CHECK(read_texts(*store, all[i]) == texts{{0, "low " + std::to_string(i)}, {~std::uint64_t{0}, "high " + std::to_string(i)}});
    }
    CHECK_FALSE(commit(*store, epoch, {core::drop_partition{all[4]}, core::drop_partition{all.back()}}));
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        CHECK(read_texts(*store, all[i]).size() == (i == 4 || i + 1 == all.size() ? 0 : 2));
    }
}

TEST_CASE("freed entries are gone, their neighbours stay") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    const auto p = partition(7, 3);
    CHECK_FALSE(commit(*store, epoch, {append(p, 0, 4, "a"), append(p, 5, 5, "b"), append(p, 6, 9, "c")}));
    CHECK_FALSE(commit(*store, epoch, {free_of(p, 5)}));
    CHECK(read_texts(*store, p) == texts{{4, "a"}, {9, "c"}});
    CHECK(read_texts(*store, p, 5) == texts{{9, "c"}});
    CHECK_FALSE(commit(*store, epoch, {free_of(p, 4), append(p, 10, 10, "d"), free_of(p, 9)}));
    CHECK(read_texts(*store, p) == texts{{10, "d"}});
}

TEST_CASE("an entry is freed long after it was appended") {
    WITH_EVERY_ENGINE(store);
    const auto p = partition(1);
    auto epoch = open_shard(*store);
    for (std::uint64_t i = 0; i < 100; ++i) {
        CHECK_FALSE(commit(*store, epoch, {append(p, i, i, std::string(100'000, static_cast<char>('a' + i % 26)))}));
    }
    store.reopen();
    epoch = open_shard(*store);
    for (std::uint64_t i = 0; i < 100; ++i) {
        if (i % 10 != 3) {
            CHECK_FALSE(commit(*store, epoch, {free_of(p, i)}));
        }
    }
    store.reopen();
    const auto left = read_texts(*store, p);
    REQUIRE(left.size() == 10);
    for (std::size_t i = 0; i < left.size(); ++i) {
        CHECK(left[i] == text_entry{i * 10 + 3, std::string(100'000, static_cast<char>('a' + (i * 10 + 3) % 26))});
    }
}

TEST_CASE("rows are put, put again, erased and scanned in byte order") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    const std::string with_zero("b\0x", 3);
    CHECK_FALSE(commit(*store, epoch, {core::put_row{"b", "1"}, core::put_row{"a", ""}, core::put_row{with_zero, "z"}, core::put_row{"\xff", "top"}}));
    CHECK(rows_of(*store, "", "\xff\xff") == rows{{"a", ""}, {"b", "1"}, {with_zero, "z"}, {"\xff", "top"}});
    CHECK(rows_of(*store, "b", "c") == rows{{"b", "1"}, {with_zero, "z"}});
    CHECK(rows_of(*store, "a", "b") == rows{{"a", ""}});
    CHECK(rows_of(*store, "b", "b").empty());
    CHECK(rows_of(*store, "c", "a").empty());

    CHECK_FALSE(commit(*store, epoch, {core::put_row{"b", "2"}, core::erase_row{"a"}, core::erase_row{"never there"}}));
    CHECK(rows_of(*store, "", "c") == rows{{"b", "2"}, {with_zero, "z"}});
}

TEST_CASE("a scan stops at its limit") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    CHECK_FALSE(commit(*store, epoch, {core::put_row{"a", "1"}, core::put_row{"b", "2"}, core::put_row{"c", "3"}}));
    CHECK(rows_of(*store, "", "z", 0).empty());
    CHECK(rows_of(*store, "", "z", 2) == rows{{"a", "1"}, {"b", "2"}});
    CHECK(rows_of(*store, "b", "z", 2) == rows{{"b", "2"}, {"c", "3"}});
    CHECK(rows_of(*store, "", "z", 3).size() == 3);
}

TEST_CASE("a range of rows is erased, its end excluded, and can be written again") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    CHECK_FALSE(commit(*store, epoch, {core::put_row{"a", "1"}, core::put_row{"b", "2"}, core::put_row{"b1", "3"}, core::put_row{"c", "4"}}));
    CHECK_FALSE(commit(*store, epoch, {core::erase_rows{{"b", "c"}}, core::erase_rows{{"x", "x"}}, core::erase_rows{{"z", "a"}}}));
    CHECK(rows_of(*store, "", "z") == rows{{"a", "1"}, {"c", "4"}});
    CHECK_FALSE(commit(*store, epoch, {core::put_row{"b", "5"}}));
    CHECK(rows_of(*store, "", "z") == rows{{"a", "1"}, {"b", "5"}, {"c", "4"}});
}

TEST_CASE("the mutations of a group are applied in order") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    CHECK_FALSE(commit(*store, epoch, {core::put_row{"b", "old"}}));
    CHECK_FALSE(commit(*store, epoch, {core::erase_rows{{"a", "z"}}, core::put_row{"b", "new"}}));
    CHECK(rows_of(*store, "", "z") == rows{{"b", "new"}});
    CHECK_FALSE(commit(*store, epoch, {core::put_row{"c", "short"}, core::erase_rows{{"a", "z"}}}));
    CHECK(rows_of(*store, "", "z").empty());
}

TEST_CASE("a dropped partition is gone, with what was freed in it before") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    CHECK_FALSE(commit(*store, epoch, {append(partition(1, 0), 0, 0, "x"), append(partition(1, 1), 0, 0, "gone"), append(partition(1, 1), 1, 1, "gone"),
                                       append(partition(1, 2), 0, 0, "y")}));
    CHECK_FALSE(commit(*store, epoch, {free_of(partition(1, 1), 0)}));
    CHECK_FALSE(commit(*store, epoch, {core::drop_partition{partition(1, 1)}, core::drop_partition{partition(99)}}));
    CHECK(read_texts(*store, partition(1, 1)).empty());
    CHECK(read_texts(*store, partition(1, 0)) == texts{{0, "x"}});
    CHECK(read_texts(*store, partition(1, 2)) == texts{{0, "y"}});
}

TEST_CASE("a shard's epoch grows with every open, also across a reopening, and shards have their own") {
    WITH_EVERY_ENGINE(store);
    const auto first = open_shard(*store, first_shard);
    const auto second = open_shard(*store, first_shard);
    CHECK(second > first);
    CHECK(open_shard(*store, second_shard) == first);
    store.reopen();
    CHECK(open_shard(*store, first_shard) > second);
}

TEST_CASE("a stale, a future and an unknown epoch are fenced, and nothing is applied") {
    WITH_EVERY_ENGINE(store);
    const auto stale = open_shard(*store);
    const auto current = open_shard(*store);
    const core::fencing_epoch future{static_cast<std::uint64_t>(current) + 1};
    CHECK(commit(*store, stale, {core::put_row{"a", "stale"}, append(partition(1), 0, 0, "stale")}).code == errc::fenced);
    CHECK(commit(*store, future, {core::put_row{"a", "future"}}).code == errc::fenced);
    CHECK(commit(*store, current, {core::put_row{"a", "never opened"}}, second_shard).code == errc::fenced);
    CHECK(rows_of(*store, "", "z").empty());
    CHECK(read_texts(*store, partition(1)).empty());
    CHECK_FALSE(commit(*store, current, {core::put_row{"a", "current"}}));
    CHECK(rows_of(*store, "", "z") == rows{{"a", "current"}});
}

TEST_CASE("answers come in the order of submission, whatever the sizes, fenced ones included") {
    WITH_EVERY_ENGINE(store);
    const auto stale = open_shard(*store);
    const auto epoch = open_shard(*store);
    std::mutex mutex;
    std::vector<int> order;
    std::atomic<int> refused{0};
    constexpr int groups = 300;
    for (int i = 0; i < groups; ++i) {
        const std::size_t size = i % 7 == 0 ? 200'000 : 100;
        const auto under = i % 11 == 5 ? stale : epoch;
        const auto sequence = static_cast<std::uint64_t>(i);
        store->commit(first_shard, under, {append(partition(1), sequence, sequence, std::string(size, 'x'))}, [&, i](const error& outcome) {
            std::lock_guard lock(mutex);
            order.push_back(i);
            refused += outcome ? 1 : 0;
        });
    }
    CHECK_FALSE(commit(*store, epoch, {core::put_row{"end", ""}}));
    std::lock_guard lock(mutex);
    REQUIRE(order.size() == groups);
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(refused == 27);
    CHECK(read_texts(*store, partition(1)).size() == groups - 27);
}

TEST_CASE("what is answered can be read, and a done may submit the next group") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    const auto p = partition(1);
    std::mutex mutex;
    std::vector<std::size_t> seen;
    std::function<void(std::uint64_t)> next = [&](std::uint64_t i) {
        store->commit(first_shard, epoch, {append(p, i, i, "x")}, [&, i](const error& outcome) {
            const auto found = store->read(p, {i}, 100);
            {
                std::lock_guard lock(mutex);
                seen.push_back(outcome || !found ? 0 : found.value().size());
            }
            if (i < 200) {
                next(i + 1);
            }
        });
    };
    next(0);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
        std::lock_guard lock(mutex);
        if (seen.size() == 201) {
            break;
        }
    }
    CHECK(seen == std::vector<std::size_t>(201, 1));
    open_shard(*store);  // the last done has returned
}

TEST_CASE("what is under way when a shard is opened again is finished first") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    constexpr std::uint64_t groups = 8;
    std::atomic<std::uint64_t> answered{0};
    for (std::uint64_t i = 0; i < groups; ++i) {
        store->commit(first_shard, epoch, {append(partition(1), i, i, std::string(4u << 20, 'x'))}, [&](const error& outcome) { answered += outcome ? 100 : 1; });
    }
    open_shard(*store);
    CHECK(answered == groups);
    CHECK(read_texts(*store, partition(1), 0, 64u << 20).size() == groups);
}

TEST_CASE("shards commit from threads of their own") {
    WITH_EVERY_ENGINE(store);
    constexpr std::uint32_t shards = 4;
    constexpr std::uint64_t groups = 300;
    std::vector<core::fencing_epoch> epochs;
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
        epochs.push_back(open_shard(*store, core::shard_id{shard}));
    }
    std::atomic<std::uint64_t> good{0};
    std::vector<std::uint64_t> answered(shards, 0);
    std::atomic<bool> ordered{true};
    std::vector<std::thread> threads;
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
        threads.emplace_back([&, shard] {
            for (std::uint64_t i = 0; i < groups; ++i) {
                store->commit(core::shard_id{shard}, epochs[shard], {append(partition(shard), i, i, std::to_string(i))}, [&, shard, i](const error& e) {
                    good += e ? 0 : 1;
                    ordered = ordered && answered[shard] == i;
                    answered[shard] = i + 1;
                });
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
        CHECK_FALSE(commit(*store, epochs[shard], {}, core::shard_id{shard}));
    }
    CHECK(good == shards * groups);
    CHECK(ordered);
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
        CHECK(read_texts(*store, partition(shard)).size() == groups);
    }
}

TEST_CASE("a partition that is read while it is dropped is gone when that is answered") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    std::atomic<std::uint32_t> dropping{0};
    bool all_read = true;
    std::thread reader([&] {
        for (std::uint32_t read; (read = dropping) < 200;) {
            all_read = store->read(partition(read), {0}, 1000) && all_read;
        }
    });
    const auto is_gone = [&](std::uint32_t topic) {
        const auto failed = commit(*store, epoch, {append(partition(topic), 0, 0, "x")});
        dropping = topic;
        return !failed && !commit(*store, epoch, {core::drop_partition{partition(topic)}}) && read_texts(*store, partition(topic)).empty();
    };
    bool all_gone = true;
    for (std::uint32_t topic = 1; topic < 200; ++topic) {
        all_gone = is_gone(topic) && all_gone;
    }
    dropping = 200;
    reader.join();
    CHECK(all_gone);
    CHECK(all_read);
}

TEST_CASE("a group of 8 MiB and an empty one") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    const auto p = partition(1);
    std::vector<core::mutation> group;
    for (std::uint64_t i = 0; i < 128; ++i) {
        group.emplace_back(append(p, i, i, std::string(64u << 10, static_cast<char>(i))));
    }
    CHECK_FALSE(commit(*store, epoch, group));
    CHECK_FALSE(commit(*store, epoch, {}));
    CHECK_FALSE(commit(*store, epoch, {append(p, 128, 128, std::string(8u << 20, 'm'))}));
    store.reopen();
    const auto found = read_texts(*store, p);
    REQUIRE(found.size() == 129);
    CHECK(found[77] == text_entry{77, std::string(64u << 10, static_cast<char>(77))});
    CHECK(found[128].text == std::string(8u << 20, 'm'));
}

TEST_CASE("everything answered is there after reopening") {
    WITH_EVERY_ENGINE(store);
    for (std::uint64_t round = 0; round < 4; ++round) {
        const auto epoch = open_shard(*store);
        for (std::uint64_t i = 0; i < 50; ++i) {
            const auto sequence = round * 50 + i;
            CHECK_FALSE(commit(*store, epoch, {append(partition(1), sequence, sequence, std::string(10'000, 'x')),
                                               core::put_row{"count", std::to_string(sequence)}, core::put_row{"r" + std::to_string(sequence), ""}}));
        }
        store.reopen();
        CHECK(read_texts(*store, partition(1)).size() == (round + 1) * 50);
        CHECK(rows_of(*store, "count", "count~") == rows{{"count", std::to_string(round * 50 + 49)}});
        CHECK(rows_of(*store, "r", "s").size() == (round + 1) * 50);
    }
}

TEST_CASE("a checkpoint is a store of its own") {
    WITH_EVERY_ENGINE(store);
    const auto epoch = open_shard(*store);
    CHECK_FALSE(commit(*store, epoch, {append(partition(1), 0, 0, std::string(5000, 'x')), core::put_row{"a", "1"}}));
    const auto copy = store.directory() / "copy";
    if (!store.keeps_files()) {
        CHECK(store->checkpoint(copy).code == errc::invalid_argument);
        return;
    }
    CHECK_FALSE(store->checkpoint(copy));
    CHECK(store->checkpoint(copy).code == errc::storage_failure);
    CHECK_FALSE(commit(*store, epoch, {free_of(partition(1), 0), core::put_row{"a", "2"}}));

    const auto copied = open_or_fail(options_for(copy));
    CHECK(read_texts(*copied, partition(1)) == texts{{0, std::string(5000, 'x')}});
    CHECK(rows_of(*copied, "", "z") == rows{{"a", "1"}});
    CHECK(open_shard(*copied) > epoch);
    CHECK(rows_of(*store, "", "z") == rows{{"a", "2"}});
}

namespace {

/// The obvious store, to compare with.
struct model {
    std::map<core::partition_id, std::map<std::uint64_t, std::string>> entries;
    std::map<core::partition_id, std::uint64_t> next;
    std::map<std::string, std::string> rows;
    std::uint32_t topics = 3;
};

std::string row_name(std::mt19937& random) {
    return std::string(1, static_cast<char>('a' + random() % 4)) + std::to_string(random() % 50);
}

std::vector<core::mutation> random_group(model& expected, std::mt19937& random) {
    std::vector<core::mutation> group;
    std::map<std::string, bool> touched;
    for (auto left = random() % 12; left > 0; --left) {
        const auto p = partition(static_cast<std::uint32_t>(random() % expected.topics), static_cast<std::uint32_t>(random() % 2));
        const auto dice = random() % 100;
        if (dice < 45) {
            auto& next = expected.next[p];
            const auto last = next + random() % 20;
            const std::string text(random() % (dice < 3 ? 60'000 : 600), static_cast<char>('a' + random() % 26));
            group.emplace_back(append(p, next, last, text));
            expected.entries[p][last] = text;
            next = last + 1;
        } else if (dice < 65) {
            const auto name = row_name(random);
            if (touched.emplace(name, true).second) {
                group.emplace_back(core::put_row{name, std::to_string(dice)});
                expected.rows[name] = std::to_string(dice);
            }
        } else if (dice < 75) {
            const auto name = row_name(random);
            if (touched.emplace(name, true).second) {
                group.emplace_back(core::erase_row{name});
                expected.rows.erase(name);
            }
        } else if (dice < 77) {
            auto begin = row_name(random);
            auto end = row_name(random);
            group.emplace_back(core::erase_rows{{begin, end}});
            if (begin < end) {
                expected.rows.erase(expected.rows.lower_bound(begin), expected.rows.lower_bound(end));
            }
        }
    }
    return group;
}

// In a group of its own, for none both appends and frees an entry; a dropped topic's id is not used again.
std::vector<core::mutation> random_frees(model& expected, std::mt19937& random) {
    std::vector<core::mutation> group;
    for (auto& [p, entries] : expected.entries) {
        for (auto entry = entries.begin(); entry != entries.end();) {
            if (random() % 3 == 0) {
                group.emplace_back(free_of(p, entry->first));
                entry = entries.erase(entry);
            } else {
                ++entry;
            }
        }
    }
    if (random() % 4 == 0 && !expected.entries.empty()) {
        const auto p = expected.entries.begin()->first;
        group.emplace_back(core::drop_partition{p});
        expected.entries.erase(p);
        expected.next[p] += 1'000'000;  // an id of its own, as it were: no sequence comes back
    }
    return group;
}

void compare(store& found, const model& expected) {
    for (std::uint32_t topic = 0; topic < expected.topics; ++topic) {
        for (std::uint32_t index = 0; index < 2; ++index) {
            texts wanted;
            if (const auto entries = expected.entries.find(partition(topic, index)); entries != expected.entries.end()) {
                for (const auto& [last, text] : entries->second) {
                    wanted.push_back({last, text});
                }
            }
            REQUIRE(read_texts(found, partition(topic, index)) == wanted);
        }
    }
    rows wanted;
    for (const auto& [key, value] : expected.rows) {
        wanted.push_back({key, value});
    }
    REQUIRE(rows_of(found, "", "~") == wanted);
}

}  // namespace

TEST_CASE("any sequence of groups leaves what the model has") {
    const auto seed = GENERATE(1u, 2u, 3u);
    CAPTURE(seed);
    WITH_EVERY_ENGINE(store);
    std::mt19937 random(seed);
    model expected;
    auto epoch = open_shard(*store);
    for (int step = 0; step < 300; ++step) {
        CAPTURE(step);
        REQUIRE_FALSE(commit(*store, epoch, random_group(expected, random)));
        if (step % 10 == 9) {
            REQUIRE_FALSE(commit(*store, epoch, random_frees(expected, random)));
            compare(*store, expected);
        }
        if (step % 100 == 99) {
            store.reopen();
            compare(*store, expected);
            epoch = open_shard(*store);
        }
    }
}

}  // namespace millrace::storage
