// What a consumer holds, and that it may be moved: the place of the last ack must not be that of another object.
#include <catch2/catch.hpp>
#include <memory>

#include "client/held_leases.hpp"

namespace millrace::client {
namespace {

TEST_CASE("held leases that were moved know nothing of where they were") {
    auto before = std::make_unique<held_leases>();
    before->add({0, 1, {10}, 1}, {100, 200});
    before->add({1, 1, {20}, 1}, {300});
    held_leases held;
    held.add({2, 1, {0}, 1}, {7});
    held.remove({2, 1, {0}, 1});
    held = std::move(*before);
    CHECK(before->empty());
    CHECK(before->size_of({0, 1, {10}, 1}) == 0);
    before.reset();
    CHECK(held.size_of({0, 1, {11}, 1}) == 200);
    CHECK(held.remove({0, 1, {10}, 1}));
    CHECK(held.total().messages == 2);
    CHECK(held.total().bytes == 500);

    const auto first = std::make_unique<held_leases>(std::move(held));
    CHECK(held.empty());
    CHECK_FALSE(held.remove({0, 1, {11}, 1}));
    CHECK(first->size_of({0, 1, {11}, 1}) == 200);
    CHECK(first->remove({1, 1, {20}, 1}));
    CHECK(first->total().messages == 1);
    CHECK(first->total().bytes == 200);
}

}  // namespace
}  // namespace millrace::client
