// Stores with one fault planted in each: the twin convicts every one, and acquits the same store without it.
#include "tests/power/twin.hpp"

#include <catch2/catch.hpp>

#include "broker/storage/memory_store.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::power {
namespace {

constexpr core::shard_id the_shard{0};
const core::partition_id the_partition{core::topic_id{1}, 0};

core::entry_bytes bytes_of(const std::string& text) {
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return std::make_shared<const std::vector<std::byte>>(begin, begin + text.size());
}

std::vector<core::mutation> numbered(std::uint64_t n, const std::string& text = "words") {
    return {core::append_entry{the_partition, {n}, {n}, bytes_of(text + std::to_string(n))}, core::put_row{"P", std::to_string(n)}};
}

struct pair {
    std::unique_ptr<storage::store> found = storage::make_memory_store();
    core::fencing_epoch epoch = found->open(the_shard).value();
    twin expected;

    /// Three groups were answered, two more are under way.
    pair() {
        for (std::uint64_t n = 0; n < 5; ++n) expected.submit(numbered(n));
        for (int n = 0; n < 3; ++n) expected.answered();
    }
    void holds(std::vector<core::mutation> group) {
        found->commit(the_shard, epoch, std::move(group), [](const error& failed) { REQUIRE_FALSE(failed); });
    }
    void judge(bool power = true) {
        expected.judge(*found, [power] { return power; });
    }
};

TEST_CASE("what was answered and a front of what was under way is acquitted") {
    pair p;
    const auto held = GENERATE(3u, 4u, 5u);
    for (std::uint64_t n = 0; n < held; ++n) p.holds(numbered(n));
    CHECK_NOTHROW(p.judge());
    CHECK(p.expected.groups() == held);
    CHECK_NOTHROW(p.judge());
}

TEST_CASE("an answered group that is missing is convicted") {
    pair p;
    for (std::uint64_t n = 0; n < 2; ++n) p.holds(numbered(n));
    CHECK_THROWS_AS(p.judge(), sim::violation);
}

TEST_CASE("half a group is convicted") {
    pair p;
    for (std::uint64_t n = 0; n < 3; ++n) p.holds(numbered(n));
    auto half = numbered(3);
    const auto missing = GENERATE(0, 1);
    half.erase(half.begin() + missing);
    p.holds(half);
    CHECK_THROWS_AS(p.judge(), sim::violation);
}

TEST_CASE("a group without the one in front of it is convicted") {
    pair p;
    for (std::uint64_t n = 0; n < 5; ++n)
        if (n != 3) p.holds(numbered(n));
    CHECK_THROWS_AS(p.judge(), sim::violation);
}

TEST_CASE("changed bytes are convicted") {
    pair p;
    for (std::uint64_t n = 0; n < 2; ++n) p.holds(numbered(n));
    p.holds(numbered(2, "wordz"));
    CHECK_THROWS_AS(p.judge(), sim::violation);
    CHECK_FALSE(p.expected.has_written(the_partition, {2}, *bytes_of("wordz2")));
    CHECK(p.expected.has_written(the_partition, {2}, *bytes_of("words2")));
}

TEST_CASE("what nobody handed over is convicted") {
    pair p;
    for (std::uint64_t n = 0; n < 3; ++n) p.holds(numbered(n));
    p.holds({core::put_row{"Q", "?"}});
    CHECK_THROWS_AS(p.judge(), sim::violation);
}

TEST_CASE("what was read while the power went says nothing, and changes nothing") {
    pair p;
    p.holds(numbered(0));
    CHECK_NOTHROW(p.judge(false));
    CHECK(p.expected.groups() == 3);
}

}  // namespace
}  // namespace millrace::power
