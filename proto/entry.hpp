// The entry: what the store keeps under one key. All batches that one group commit brought to one partition, end to end. Format: FORMAT.md §4.
//
//   { batch header (56 bytes) · records end to end }…
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::proto {

inline constexpr std::size_t batch_header_bytes = 56;

/// What the broker writes before the records of one batch.
struct batch_header {
    std::uint32_t records_bytes = 0;
    std::uint32_t count = 0;
    sequence first;
    timestamp appended_at;
    std::uint64_t producer = 0;        // 0: unnamed
    std::uint64_t number = 0;          // of the batch, by its producer; 0 with an unnamed one
    std::uint32_t producer_epoch = 0;
    std::uint32_t checksum = 0;        // batch_checksum() of the records

    bool operator==(const batch_header&) const = default;
};

/// Appends the 56 bytes of `header` to `out`.
void append_batch_header(const batch_header& header, std::vector<std::byte>& out);

/// What the headers and record lengths of a stored entry say.
struct entry_layout {
    std::vector<batch_header> batches;   // ascending, without gaps, at least one
    std::vector<std::uint32_t> ends;     // [i]: bytes of records 0..i of the entry, batch headers not counted

    sequence first() const { return batches.front().first; }
    sequence last() const { return first() + (ends.size() - 1); }
};

/// Reads a stored entry whose key says that it ends in `last`: header CRCs, counts, lengths, sequences without gaps; not the records' CRCs.
/// Errors: corruption, with what does not fit.
error parse_entry(std::span<const std::byte> bytes, sequence last, entry_layout& out);

/// One batch header at the start of `bytes`. Errors: corruption.
error parse_batch_header(std::span<const std::byte> bytes, batch_header& out);

}  // namespace millrace::proto
