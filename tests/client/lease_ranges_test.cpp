#include <catch2/catch.hpp>

#include "client/held_leases.hpp"
#include "client/lease_ranges.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {
lease_range range(std::uint32_t partition, std::uint32_t attempt, std::uint64_t first, std::uint64_t last) {
    return {partition, attempt, {first}, {last}};
}
}  // namespace

TEST_CASE("acks in order become one range") {
    lease_ranges acks;
    for (std::uint64_t i = 10; i < 20; ++i) acks.add(0, 1, {i});
    CHECK(acks.take(100) == std::vector{range(0, 1, 10, 19)});
    CHECK(acks.empty());
    CHECK(acks.take(100).empty());
}

TEST_CASE("acks in any order merge where they touch, and only within a partition and an attempt") {
    lease_ranges acks;
    for (const auto s : {5, 3, 4, 9, 1}) acks.add(0, 1, {static_cast<std::uint64_t>(s)});
    acks.add(0, 2, {6});
    acks.add(1, 1, {2});
    CHECK(acks.take(100) == std::vector{range(0, 1, 1, 1), range(0, 1, 3, 5), range(0, 1, 9, 9), range(0, 2, 6, 6), range(1, 1, 2, 2)});
}

TEST_CASE("no more ranges are taken than asked for, and none is lost") {
    lease_ranges acks;
    for (std::uint64_t i = 0; i < 10; i += 2) acks.add(0, 1, {i});
    CHECK(acks.take(3) == std::vector{range(0, 1, 0, 0), range(0, 1, 2, 2), range(0, 1, 4, 4)});
    CHECK(acks.take(3) == std::vector{range(0, 1, 6, 6), range(0, 1, 8, 8)});
    CHECK(acks.empty());
}

TEST_CASE("a held message leaves once and frees the bytes of its record") {
    held_leases held;
    held.add({0, 1, {10}, 1}, {100, 200, 300});
    held.add({1, 1, {10}, 1}, {7});
    CHECK(held.remove({0, 1, {11}, 1}));
    CHECK_FALSE(held.remove({0, 1, {11}, 1}));
    CHECK_FALSE(held.remove({0, 2, {10}, 1}));
    CHECK_FALSE(held.remove({0, 1, {9}, 1}));
    CHECK_FALSE(held.remove({0, 1, {13}, 1}));
    CHECK(held.remove({1, 1, {10}, 1}));
    CHECK(held.remove({0, 1, {12}, 1}));
    CHECK_FALSE(held.empty());
    CHECK(held.total().messages == 1);
    CHECK(held.total().bytes == 100);
    CHECK(held.remove({0, 1, {10}, 1}));
    CHECK(held.empty());
}

TEST_CASE("a run that comes again frees what was left of it") {
    held_leases held;
    held.add({0, 1, {10}, 1}, {100, 200, 300});
    held.remove({0, 1, {10}, 1});
    held.add({0, 1, {10}, 1}, {1, 1});
    CHECK(held.total().messages == 2);
    CHECK(held.total().bytes == 2);
    CHECK_FALSE(held.remove({0, 1, {12}, 1}));
}
