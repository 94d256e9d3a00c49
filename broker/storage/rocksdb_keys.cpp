#include "broker/storage/rocksdb_keys.hpp"

#include <cstdint>
#include <limits>

namespace millrace::storage {
namespace {

constexpr std::size_t entry_key_bytes = 16;
constexpr std::size_t epoch_bytes = 8;

template <class Integer>
void put_big_endian(std::string& out, Integer value) {
    for (int shift = (static_cast<int>(sizeof(Integer)) - 1) * 8; shift >= 0; shift -= 8) {
        out.push_back(static_cast<char>(value >> shift & 0xff));
    }
}

std::uint64_t get_big_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (const char byte : bytes) {
        value = value << 8 | static_cast<unsigned char>(byte);
    }
    return value;
}

}  // namespace

std::string entry_key(core::partition_id partition, sequence last) {
    std::string key;
    key.reserve(entry_key_bytes + 1);
    put_big_endian(key, static_cast<std::uint32_t>(partition.topic));
    put_big_endian(key, partition.index);
    put_big_endian(key, last.value);
    return key;
}

std::string entry_keys_end(core::partition_id partition) {
    std::string key = entry_key(partition, {std::numeric_limits<std::uint64_t>::max()});
    key.push_back('\0');
    return key;
}

bool parse_entry_key(std::string_view key, sequence& last) {
    if (key.size() != entry_key_bytes) {
        return false;
    }
    last.value = get_big_endian(key.substr(entry_key_bytes - sizeof(std::uint64_t)));
    return true;
}

std::string epoch_key(core::shard_id shard) {
    std::string key = "epoch/";
    put_big_endian(key, static_cast<std::uint32_t>(shard));
    return key;
}

std::string epoch_value(core::fencing_epoch epoch) {
    std::string value;
    put_big_endian(value, static_cast<std::uint64_t>(epoch));
    return value;
}

bool parse_epoch_value(std::string_view value, core::fencing_epoch& epoch) {
    if (value.size() != epoch_bytes) {
        return false;
    }
    epoch = core::fencing_epoch{get_big_endian(value)};
    return true;
}

}  // namespace millrace::storage
