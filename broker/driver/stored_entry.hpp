// Between the bytes of an entry and the index that the core works with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "broker/core/entry_index.hpp"
#include "broker/core/mutation.hpp"
#include "millrace/error.hpp"

namespace millrace::driver {

/// An entry as it is kept in memory: what the core knows of it and what the store keeps.
struct cached_entry {
    core::shared_index index;
    core::entry_bytes bytes;
};

/// The index of stored bytes whose key says that they end in `last`. Errors: corruption, also of a record whose
/// checksum does not match.
result<cached_entry> index_entry(sequence last, core::entry_bytes bytes);

/// What the store keeps of the entry, in bytes.
std::uint64_t stored_bytes(const core::entry_index& index);

/// The records from `first` to `last`, which one batch of the entry holds.
std::span<const std::byte> records_of(const core::entry_index& index, std::span<const std::byte> bytes, sequence first, sequence last);

}  // namespace millrace::driver
