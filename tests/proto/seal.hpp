// A checksum for bytes that were made wrong, so that what is behind it is looked at.
#pragma once

#include <cstddef>
#include <span>

#include "proto/crc32c.hpp"
#include "proto/little_endian.hpp"
#include "proto/record.hpp"

namespace millrace::proto::damage {

/// Gives a record the checksum of what it holds now. REQUIRES at least a header.
inline void seal(std::span<std::byte> record) {
    store(record.data() + 4, crc32c(crc32c(0, record.data(), 4), record.data() + record_header_bytes, record.size() - record_header_bytes));
}

}  // namespace millrace::proto::damage
