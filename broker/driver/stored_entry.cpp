#include "broker/driver/stored_entry.hpp"

#include <string>

#include "proto/entry.hpp"
#include "proto/record.hpp"

namespace millrace::driver {

result<cached_entry> index_entry(sequence last, core::entry_bytes bytes) {
    proto::entry_layout layout;
    if (auto damaged = proto::parse_entry(*bytes, last, layout)) return damaged;
    std::size_t at = 0;
    for (const auto& b : layout.batches) {
        at += proto::batch_header_bytes;
        const auto records = std::span(*bytes).subspan(at, b.records_bytes);
        if (const auto damaged = proto::verify_checksums(records))
            return error{errc::corruption, "the batch from sequence " + std::to_string(b.first.value) + ": " + damaged.what};
        at += b.records_bytes;
    }
    auto index = std::make_shared<core::entry_index>();
    index->first = layout.first();
    index->batches.reserve(layout.batches.size());
    for (const auto& b : layout.batches) index->batches.push_back({b.first, b.count, b.appended_at});
    index->ends = std::move(layout.ends);
    return cached_entry{std::move(index), std::move(bytes)};
}

std::uint64_t stored_bytes(const core::entry_index& index) {
    return index.bytes() + std::uint64_t{proto::batch_header_bytes} * index.batches.size();
}

std::span<const std::byte> records_of(const core::entry_index& index, std::span<const std::byte> bytes, sequence first, sequence last) {
    const auto headers = (index.batch_of(first) + 1) * proto::batch_header_bytes;
    return bytes.subspan(headers + index.bytes_before(first), index.bytes_between(first, last));
}

}  // namespace millrace::driver
