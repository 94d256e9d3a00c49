// What a consumer holds, and that it may be moved: the place of the last ack must not be that of another object.
#include <catch2/catch.hpp>
#include <memory>

#include "client/held_leases.hpp"

namespace millrace::client {
namespace {

TEST_CASE("held leases that were moved know nothing of where they were") {
    auto before = std::make_unique<held_leases>();
    before->add(0, 1, {10}, {100, 200});
    before->add(1, 1, {20}, {300});
    held_leases held;
    held.add(2, 1, {0}, {7});
    held.remove(2, 1, {0});
    held = std::move(*before);
    CHECK(before->empty());
    CHECK(before->size_of(0, 1, {10}) == 0);
    before.reset();
    CHECK(held.size_of(0, 1, {11}) == 200);
    CHECK(held.remove(0, 1, {10}).bytes == 100);

    const auto first = std::make_unique<held_leases>(std::move(held));
    CHECK(held.empty());
    CHECK(held.remove(0, 1, {11}).messages == 0);
    CHECK(first->size_of(0, 1, {11}) == 200);
    CHECK(first->remove(1, 1, {20}).bytes == 300);
}

}  // namespace
}  // namespace millrace::client
