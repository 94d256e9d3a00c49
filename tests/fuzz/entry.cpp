// An entry as the store gives it back. The first byte says whether headers and records get valid checksums; the next eight are the sequence in its key.
#include "broker/driver/stored_entry.hpp"
#include "proto/entry.hpp"
#include "tests/fuzz/sealing.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

void seal_batches(std::span<std::byte> bytes, bool records) {
    while (bytes.size() >= proto::batch_header_bytes) {
        proto::store(bytes.data(), std::uint32_t{0x31424C4D});
        proto::store(bytes.data() + 4, proto::crc32c(0, bytes.data() + 8, proto::batch_header_bytes - 8));
        const auto length = proto::load<std::uint32_t>(bytes.data() + 8);
        bytes = bytes.subspan(proto::batch_header_bytes);
        if (length > bytes.size()) return;
        if (records) seal_records(bytes.first(length));
        bytes = bytes.subspan(length);
    }
}

/// An entry is nothing but its headers and records: written again, it is the same bytes.
void write_again(std::span<const std::byte> bytes, const proto::entry_layout& layout) {
    std::vector<std::byte> written;
    for (const auto& b : layout.batches) {
        proto::append_batch_header(b, written);
        const auto records = bytes.subspan(written.size(), b.records_bytes);
        written.insert(written.end(), records.begin(), records.end());
    }
    must(std::equal(written.begin(), written.end(), bytes.begin(), bytes.end()), "an entry is written as it was read");
}

void look_at_index(std::span<const std::byte> bytes, const driver::cached_entry& entry, const proto::entry_layout& layout) {
    must(entry.index->first == layout.first() && entry.index->last() == layout.last() && entry.index->ends == layout.ends, "the index says what the entry says");
    for (auto s = entry.index->first; entry.index->contains(s); ++s) {
        const auto records = driver::records_of(*entry.index, bytes, s, s);
        must(proto::record_length(records) == records.size(), "every sequence has its record");
        must(!proto::verify_checksums(records), "and its checksum holds");
    }
}

}  // namespace

void entry(input in) {
    choices c(in);
    const auto kind = c.byte();
    auto last = sequence{c.number()};
    auto bytes = std::make_shared<std::vector<std::byte>>(bytes_of(c.rest()).begin(), bytes_of(c.rest()).end());
    if (kind & 1) seal_batches(*bytes, (kind & 2) != 0);

    proto::entry_layout layout;
    auto refused = proto::parse_entry(*bytes, last, layout);
    if (refused && !layout.batches.empty() && !layout.ends.empty() && (kind & 4) != 0) {  // the key that it would have
        last = layout.last();
        refused = proto::parse_entry(*bytes, last, layout);
    }
    const auto indexed = driver::index_entry(last, bytes);
    if (refused) {
        must(refused.code == errc::corruption && !refused.what.empty() && !indexed, "who refuses says why, and so does everybody");
        return;
    }
    must(layout.last() == last && layout.ends.size() == last - layout.first() + 1, "an entry ends where its key says");
    write_again(*bytes, layout);
    if (indexed) look_at_index(*bytes, indexed.value(), layout);
    must(!indexed || indexed.value().bytes == bytes, "bytes are not copied");

    proto::entry_layout cut;
    must(bool(proto::parse_entry(std::span(*bytes).first(bytes->size() - 1), last, cut)), "an entry that was cut is noticed");
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(entry)
