// The bytes of keys are a format: stores that were written have them for ever.
#include "broker/storage/rocksdb_keys.hpp"

#include <catch2/catch.hpp>

#include "tests/storage/engines.hpp"

namespace millrace::storage {

TEST_CASE("an entry's key is topic, partition and last sequence, big-endian") {
    const auto key = entry_key(partition(0x01020304, 0x05060708), {0x090a0b0c0d0e0fff});
    CHECK(key == std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\xff", 16));
    sequence last;
    CHECK(parse_entry_key(key, last));
    CHECK(last.value == 0x090a0b0c0d0e0fff);
    CHECK_FALSE(parse_entry_key(key.substr(1), last));
}

TEST_CASE("the end of a partition's keys is behind its last and before the next partition's first") {
    const auto top = ~std::uint32_t{0};
    CHECK(entry_key(partition(1, 2), {~std::uint64_t{0}}) < entry_keys_end(partition(1, 2)));
    CHECK(entry_keys_end(partition(1, 2)) < entry_key(partition(1, 3), {0}));
    CHECK(entry_keys_end(partition(1, top)) < entry_key(partition(2, 0), {0}));
}

TEST_CASE("a shard's epoch has a key of the engine's own") {
    CHECK(epoch_key(core::shard_id{0x0102}) == std::string("epoch/\x00\x00\x01\x02", 10));
    CHECK(epoch_value(core::fencing_epoch{258}) == std::string("\x00\x00\x00\x00\x00\x00\x01\x02", 8));
    core::fencing_epoch epoch{};
    CHECK(parse_epoch_value(epoch_value(core::fencing_epoch{258}), epoch));
    CHECK(epoch == core::fencing_epoch{258});
    CHECK_FALSE(parse_epoch_value("short", epoch));
}

}  // namespace millrace::storage
