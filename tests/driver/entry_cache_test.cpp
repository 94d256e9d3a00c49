#include "broker/driver/entry_cache.hpp"

#include <catch2/catch.hpp>
#include <memory>

namespace millrace::driver {
namespace {

constexpr std::size_t kibibyte = 1024;

core::partition_id partition(std::uint32_t topic) { return {core::topic_id{topic}, 0}; }

/// Of one message and a kibibyte.
cached_entry entry(std::uint64_t at) {
    auto index = std::make_shared<core::entry_index>();
    index->first = {at};
    index->ends = {kibibyte};
    return {index, std::make_shared<std::vector<std::byte>>(kibibyte)};
}

TEST_CASE("the oldest entries go when there are too many bytes, but never the last") {
    entry_cache cache(2 * kibibyte);
    for (std::uint64_t at = 0; at < 3; ++at) cache.insert(partition(1), entry(at));
    CHECK_FALSE(cache.find(partition(1), {0}));
    CHECK(cache.find(partition(1), {1}));
    CHECK(cache.find(partition(1), {2}));
    CHECK_FALSE(cache.find(partition(2), {2}));
    CHECK(cache.bytes() == 2 * kibibyte);
    entry_cache small(1);
    small.insert(partition(1), entry(0));
    CHECK(small.find(partition(1), {0}));
}

TEST_CASE("what is forgotten, alone or with its partition, makes room, and nothing else goes for it") {
    entry_cache cache(4 * kibibyte);
    for (std::uint64_t at = 0; at < 2; ++at)
        for (const std::uint32_t topic : {1u, 2u}) cache.insert(partition(topic), entry(at));
    cache.forget(partition(1));
    CHECK_FALSE(cache.find(partition(1), {0}));
    CHECK_FALSE(cache.find(partition(1), {1}));
    CHECK(cache.bytes() == 2 * kibibyte);
    cache.forget(partition(2), {1});
    CHECK_FALSE(cache.find(partition(2), {1}));
    CHECK(cache.bytes() == kibibyte);
    for (std::uint64_t at = 0; at < 3; ++at) cache.insert(partition(3), entry(at));
    CHECK(cache.find(partition(2), {0}));
    CHECK(cache.bytes() == 4 * kibibyte);
    cache.insert(partition(3), entry(3));  // and the forgotten ones before it are passed over
    CHECK_FALSE(cache.find(partition(2), {0}));
    CHECK(cache.find(partition(3), {0}));
    CHECK(cache.bytes() == 4 * kibibyte);
}

}  // namespace
}  // namespace millrace::driver
