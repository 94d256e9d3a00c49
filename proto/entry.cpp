#include "proto/entry.hpp"

#include <algorithm>
#include <string>

#include "proto/crc32c.hpp"
#include "proto/little_endian.hpp"
#include "proto/record.hpp"

namespace millrace::proto {
namespace {

constexpr std::uint32_t batch_magic = 0x31424C4D;  // "MLB1"
constexpr std::size_t checked_from = 8;            // the CRC covers what follows it

std::uint32_t header_checksum(const std::byte* header) noexcept {
    return crc32c(0, header + checked_from, batch_header_bytes - checked_from);
}

error damaged(std::string what) { return {errc::corruption, std::move(what)}; }

error damaged_batch(const batch_header& header, const std::string& what) {
    return damaged("the batch from sequence " + std::to_string(header.first.value) + " " + what);
}

// Appends the ends of the batch's records, counted from `base`. Only their lengths are looked at.
error parse_lengths(const batch_header& header, std::span<const std::byte> records, std::uint32_t base, std::vector<std::uint32_t>& ends) {
    std::size_t at = 0;
    for (std::uint32_t i = 0; i < header.count; ++i) {
        const auto length = record_length(records.subspan(at));
        if (!length)
            return damaged_batch(header, "says it holds " + std::to_string(header.count) + " records in " + std::to_string(header.records_bytes) +
                                             " bytes, but record " + std::to_string(i) + " has no valid length at byte " + std::to_string(at));
        at += *length;
        ends.push_back(base + static_cast<std::uint32_t>(at));
    }
    if (at == records.size()) return {};
    return damaged_batch(header, "says it holds " + std::to_string(header.records_bytes) + " bytes, but its " + std::to_string(header.count) +
                                     " records end at byte " + std::to_string(at));
}

error check_place(const batch_header& header, const entry_layout& before, std::size_t bytes_left) {
    if (header.count == 0) return damaged_batch(header, "holds no records");
    if (header.count - 1 > UINT64_MAX - header.first.value) return damaged_batch(header, "runs past the last sequence there is");
    if (!before.batches.empty() && header.first != before.last() + 1)
        return damaged_batch(header, "stands where sequence " + std::to_string(before.last().value + 1) + " should");
    if (header.records_bytes > bytes_left)
        return damaged_batch(header, "says it holds " + std::to_string(header.records_bytes) + " bytes, but only " + std::to_string(bytes_left) + " are there");
    return {};
}

error parse_batches(std::span<const std::byte> bytes, sequence last, entry_layout& out) {
    while (!bytes.empty()) {
        batch_header header;
        if (auto refused = parse_batch_header(bytes, header)) return refused;
        bytes = bytes.subspan(batch_header_bytes);
        if (auto refused = check_place(header, out, bytes.size())) return refused;
        if (out.ends.empty() && last >= header.first)  // one allocation, and nothing to spare: the ends stay with their reader. A record has a byte at least
            out.ends.reserve(std::min<std::uint64_t>(last - header.first + 1, bytes.size()));
        const std::uint32_t base = out.ends.empty() ? 0 : out.ends.back();
        if (auto refused = parse_lengths(header, bytes.first(header.records_bytes), base, out.ends)) return refused;
        out.batches.push_back(header);
        bytes = bytes.subspan(header.records_bytes);
    }
    return {};
}

}  // namespace

void append_batch_header(const batch_header& header, std::vector<std::byte>& out) {
    const auto at = out.size();
    out.resize(at + batch_header_bytes);
    std::byte* to = out.data() + at;
    store(to, batch_magic);
    store(to + 8, header.records_bytes);
    store(to + 12, header.count);
    store(to + 16, header.first.value);
    store(to + 24, static_cast<std::uint64_t>(header.appended_at.time_since_epoch().count()));
    store(to + 32, header.producer);
    store(to + 40, header.number);
    store(to + 48, header.producer_epoch);
    store(to + 52, header.checksum);
    store(to + 4, header_checksum(to));
}

error parse_batch_header(std::span<const std::byte> bytes, batch_header& out) {
    if (bytes.size() < batch_header_bytes)
        return damaged("a batch header has " + std::to_string(bytes.size()) + " bytes left to it, it is " + std::to_string(batch_header_bytes) + " long");
    const std::byte* from = bytes.data();
    if (const auto magic = load<std::uint32_t>(from); magic != batch_magic)
        return damaged("a batch header begins with " + std::to_string(magic) + ", not with " + std::to_string(batch_magic) + " ('MLB1')");
    if (const auto computed = header_checksum(from), stored = load<std::uint32_t>(from + 4); computed != stored)
        return damaged("a batch header carries the CRC-32C " + std::to_string(stored) + " but has " + std::to_string(computed));
    out.records_bytes = load<std::uint32_t>(from + 8);
    out.count = load<std::uint32_t>(from + 12);
    out.first = {load<std::uint64_t>(from + 16)};
    out.appended_at = timestamp{std::chrono::microseconds{static_cast<std::int64_t>(load<std::uint64_t>(from + 24))}};
    out.producer = load<std::uint64_t>(from + 32);
    out.number = load<std::uint64_t>(from + 40);
    out.producer_epoch = load<std::uint32_t>(from + 48);
    out.checksum = load<std::uint32_t>(from + 52);
    return {};
}

error parse_entry(std::span<const std::byte> bytes, sequence last, entry_layout& out) {
    out.batches.clear();
    out.ends.clear();
    if (bytes.empty()) return damaged("the entry that ends in sequence " + std::to_string(last.value) + " is empty");
    if (bytes.size() > UINT32_MAX) return damaged("an entry of " + std::to_string(bytes.size()) + " bytes is longer than any can be");
    if (auto refused = parse_batches(bytes, last, out)) return refused;
    if (out.last() == last) return {};
    return damaged("the entry's key says it ends in sequence " + std::to_string(last.value) + ", its batches end in " + std::to_string(out.last().value));
}

}  // namespace millrace::proto
