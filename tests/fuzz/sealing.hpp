// Checksums keep a fuzzer out of everything behind them: here it gets bytes with valid ones.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "proto/little_endian.hpp"
#include "proto/record.hpp"
#include "tests/proto/seal.hpp"

namespace millrace::fuzz {

/// Bytes at an address that is a multiple of 8, plus `shift`.
class placed_bytes {
public:
    placed_bytes(std::span<const std::byte> from, std::size_t shift = 0) : memory_(std::make_unique_for_overwrite<std::byte[]>(from.size() + shift)) {
        if (!from.empty()) std::memcpy(memory_.get() + shift, from.data(), from.size());
        bytes_ = {memory_.get() + shift, from.size()};
    }
    std::span<std::byte> get() { return bytes_; }

private:
    std::unique_ptr<std::byte[]> memory_;
    std::span<std::byte> bytes_;
};

/// Gives one record its length and its checksum. False when it is too short, or no multiple of 8.
inline bool seal_record(std::span<std::byte> record) {
    if (record.size() < proto::record_header_bytes + 16 || record.size() % proto::record_alignment != 0) return false;
    proto::store(record.data(), static_cast<std::uint32_t>(record.size()));
    proto::damage::seal(record);
    return true;
}

/// Gives every record that stands where the one before it ends its checksum, as far as lengths lead.
inline void seal_records(std::span<std::byte> records) {
    while (const auto length = proto::record_length(records)) {
        seal_record(records.first(*length));
        records = records.subspan(*length);
    }
}

}  // namespace millrace::fuzz
