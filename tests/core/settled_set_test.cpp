#include "broker/core/settled_set.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

namespace millrace::core {
namespace {

constexpr auto block = settled_set::block_size;

settled_set::block_row run_row(std::uint64_t first, std::uint64_t last) { return {first, last, std::nullopt}; }

TEST_CASE("in order only the cursor moves") {
    auto set = settled_set::fresh({5});
    CHECK(set.settle({5}, {1'000'000}) == 999'996);
    CHECK(set.cursor() == sequence{1'000'001});
    CHECK(set.settled_beyond_cursor() == 0);
    const auto changes = set.take_changes();
    CHECK(changes.put.empty());
    CHECK(changes.erase.empty());
}

TEST_CASE("settling again counts nothing") {
    auto set = settled_set::fresh({});
    CHECK(set.settle({10}, {19}) == 10);
    CHECK(set.settle({10}, {19}) == 0);
    CHECK(set.settle({5}, {24}) == 10);
    CHECK(set.settle({0}, {4}) == 5);
    CHECK(set.settle({0}, {24}) == 0);
    CHECK(set.cursor() == sequence{25});
}

TEST_CASE("what is settled beyond the cursor is found from both sides") {
    auto set = settled_set::fresh({});
    set.settle({10}, {19});
    set.settle({block - 2}, {block + 1});
    CHECK(set.next_unsettled({10}) == sequence{20});
    CHECK(set.next_unsettled({block - 2}) == sequence{block + 2});
    CHECK(set.next_settled({0}, {100}) == sequence{10});
    CHECK(set.next_settled({0}, {7}) == sequence{7});
    CHECK(set.next_settled({20}, {100'000}) == sequence{block - 2});
    CHECK(set.contains_all({10}, {19}));
    CHECK_FALSE(set.contains_all({10}, {20}));
    CHECK(set.count_settled({}, {2 * block}) == 14);
    CHECK(set.count_settled({15}, {block}) == 7);
}

TEST_CASE("full blocks join into one row under the last of them") {
    auto set = settled_set::fresh({});
    set.settle({block}, {2 * block - 1});
    set.settle({3 * block}, {4 * block - 1});
    auto changes = set.take_changes();
    CHECK(changes.put == std::vector{run_row(1, 1), run_row(3, 3)});
    set.settle({2 * block}, {3 * block - 1});
    changes = set.take_changes();
    CHECK(changes.put == std::vector{run_row(1, 3)});
    CHECK(changes.erase == std::vector<std::uint64_t>{1});
    set.settle({}, {block - 1});
    changes = set.take_changes();
    CHECK(set.cursor() == sequence{4 * block});
    CHECK(changes.put.empty());
    CHECK(changes.erase == std::vector<std::uint64_t>{3});
}

TEST_CASE("a bitmap that fills up becomes a run in the same row") {
    auto set = settled_set::fresh({});
    set.settle({block}, {2 * block - 2});
    CHECK(set.take_changes().put.size() == 1);
    set.settle({2 * block - 1}, {2 * block - 1});
    const auto changes = set.take_changes();
    CHECK(changes.put == std::vector{run_row(1, 1)});
    CHECK(changes.erase.empty());
}

TEST_CASE("loaded rows move a cursor that stood before them") {
    auto set = settled_set::stored({block});
    CHECK_FALSE(set.knows({block}, {block}));
    CHECK(set.first_unknown_block({block}) == 1);
    set.load(1, 3, {run_row(1, 3)});
    CHECK(set.cursor() == sequence{4 * block});
    CHECK_FALSE(set.fully_known());
    set.load(4, ~std::uint64_t{0}, {});
    CHECK(set.fully_known());
    CHECK(set.take_changes().erase == std::vector<std::uint64_t>{3});
}

TEST_CASE("a bitmap that was loaded fills up as well, to its last bit") {
    settled_set::bitmap all_but_one;
    all_but_one.fill(~std::uint64_t{0});
    all_but_one[10] = ~std::uint64_t{1};
    auto set = settled_set::stored({});
    set.load(0, ~std::uint64_t{0}, {{1, 1, all_but_one}});
    CHECK(set.settled_beyond_cursor() == block - 1);
    CHECK(set.settle({block + 640}, {block + 640}) == 1);
    CHECK(set.take_changes().put == std::vector{run_row(1, 1)});
}

TEST_CASE("of a bitmap that was loaded what stands before the cursor is not counted, at the edges of words neither") {
    settled_set::bitmap bits;
    bits.fill(0x5555'5555'5555'5555);  // every other one
    for (std::uint64_t offset = 1; offset < block; offset += 2) {
        auto set = settled_set::stored({block + offset});
        set.load(1, ~std::uint64_t{0}, {{1, 1, bits}});
        REQUIRE(set.cursor() == sequence{block + offset});
        REQUIRE(set.settled_beyond_cursor() == (block - offset) / 2);
    }
}

TEST_CASE("a run that was loaded is known to its end, though no more was asked for") {
    auto set = settled_set::stored({block});
    set.load(1, 1, {run_row(1, 3)});
    CHECK(set.knows({block}, {4 * block - 1}));
    CHECK_FALSE(set.knows({block}, {4 * block}));
    CHECK(set.first_unknown_block({2 * block}) == 4);
    set = settled_set::stored({block});
    set.load(2, 2, {run_row(1, 3)});
    CHECK(set.knows({block}, {4 * block - 1}));
}

TEST_CASE("what is known is newer than what is loaded again") {
    auto set = settled_set::fresh({});
    set.settle({10}, {19});
    settled_set::bitmap old{};
    old[0] = 1u << 12;
    set.load(0, ~std::uint64_t{0}, {{0, 0, old}});
    CHECK(set.settled_beyond_cursor() == 10);
    CHECK(set.fully_known());
}

/// A set beside a vector of bool, and rows kept as a store would.
struct model {
    explicit model(std::uint64_t seed) : random(seed) {}

    std::uint64_t below(std::uint64_t n) { return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random); }

    void commit() {
        const auto changes = set.take_changes();
        for (const auto& r : changes.put) rows[r.last] = r;
        for (const auto b : changes.erase) REQUIRE(rows.erase(b) == 1);
        cursor_stored = set.cursor();
        bits_stored = bits;
    }

    void restart() {
        set = settled_set::stored(cursor_stored);
        bits = bits_stored;
    }

    void load_until_known(sequence first, sequence last) {
        while (!set.knows(first, last)) {
            const auto from = set.first_unknown_block(std::max(first, set.cursor()));
            std::vector<settled_set::block_row> found;
            auto it = rows.lower_bound(from);
            const auto limit = 1 + below(3);
            for (; it != rows.end() && found.size() < limit; ++it) found.push_back(it->second);
            set.load(from, found.size() < limit ? ~std::uint64_t{0} : found.back().last, found);
        }
    }

    void settle(std::uint64_t first, std::uint64_t last) {
        load_until_known({first}, {last});
        std::uint64_t expected = 0;
        for (auto i = first; i <= last; ++i) {
            expected += bits[i] ? 0 : 1;
            bits[i] = true;
        }
        REQUIRE(set.settle({first}, {last}) == expected);
    }

    std::uint64_t naive_next(std::uint64_t from, bool value) const {
        while (from < bits.size() && bits[from] != value) ++from;
        return from;
    }

    void compare() {
        const auto at = below(bits.size());
        load_until_known({at}, {bits.size() - 1});
        REQUIRE(set.contains({at}) == bits[at]);
        const auto unsettled = naive_next(at, false);
        if (unsettled < bits.size()) {
            REQUIRE(set.next_unsettled({at}) == sequence{unsettled});
            REQUIRE(set.next_settled({unsettled}, {bits.size()}) == sequence{naive_next(unsettled, true)});
        }
        REQUIRE(set.count_settled({at}, {bits.size()}) ==
                static_cast<std::uint64_t>(std::count(bits.begin() + static_cast<std::ptrdiff_t>(at), bits.end(), true)));
        load_until_known(set.cursor(), {bits.size() - 1});
        REQUIRE(set.cursor() == sequence{naive_next(0, false)});
        REQUIRE(set.settled_beyond_cursor() == set.count_settled(set.cursor(), {bits.size()}));
        const auto last_settled = std::find(bits.rbegin(), bits.rend(), true);
        REQUIRE(set.end() == sequence{static_cast<std::uint64_t>(bits.rend() - last_settled)});
    }

    std::mt19937_64 random;
    settled_set set = settled_set::fresh({});
    std::vector<bool> bits = std::vector<bool>(12 * block + 100), bits_stored = bits;
    std::map<std::uint64_t, settled_set::block_row> rows;
    sequence cursor_stored;
};

TEST_CASE("a settled set is a vector of bool, through restarts and windowed loads") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        model m(seed);
        for (int step = 0; step < 250; ++step) {
            const auto first = m.below(m.bits.size());
            const auto longest = m.below(3) == 0 ? 2 * block : 50;
            m.settle(first, std::min(first + m.below(longest), m.bits.size() - 1));
            if (m.below(20) == 0) m.settle(m.set.cursor().value, std::min(m.set.cursor().value + m.below(3000), m.bits.size() - 1));
            if (m.below(4) == 0) m.commit();
            if (m.below(12) == 0) m.restart();
            if (m.below(6) == 0) m.compare();
        }
        m.settle(0, m.bits.size() - 2);
        m.commit();
        CHECK(m.set.cursor() == sequence{m.naive_next(0, false)});
        CHECK(m.rows.empty());
    }
}

}  // namespace
}  // namespace millrace::core
