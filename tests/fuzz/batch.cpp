// The records of one publish: how many were announced, whether they get valid checksums, and the bytes.
#include "tests/fuzz/sealing.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

/// Whoever looks at the records one by one finds what was found in all of them.
void look_one_by_one(std::span<const std::byte> bytes, const std::vector<std::uint32_t>& ends, std::uint32_t base) {
    std::size_t at = 0;
    for (const auto end : ends) {
        const auto length = proto::record_length(bytes.subspan(at));
        must(length && base + at + *length == end, "each end is where the record's length says");
        std::vector<std::uint32_t> one;
        must(!proto::verify_records(bytes.subspan(at, *length), 1, 0, one), "a record of a verified batch is one alone");
        at += *length;
    }
    must(at == bytes.size(), "the records fill the batch");
}

}  // namespace

void batch(input in) {
    choices c(in);
    const auto kind = c.byte();
    const auto count = static_cast<std::uint32_t>(kind & 8 ? c.number() : c.below(8));
    const auto base = static_cast<std::uint32_t>(c.below(4) * 1000);
    const auto bit = c.below(1u << 16);
    placed_bytes placed(bytes_of(c.rest()), kind & 2 ? 1 + kind / 16 % 7 : 0);
    const auto bytes = placed.get();
    if (kind & 1) seal_records(bytes);

    std::vector<std::uint32_t> ends;
    const auto refused = proto::verify_records(bytes, count, base, ends);
    must(ends.size() == (refused ? 0 : count), "there is an end for each record, or none");
    if (refused) return must(!refused.what.empty(), "who refuses says why");
    look_one_by_one(bytes, ends, base);
    must(!proto::verify_checksums(bytes), "a verified batch has valid checksums");

    if (bytes.empty()) return;
    const auto checksum = proto::batch_checksum(bytes);
    bytes[bit / 8 % bytes.size()] ^= static_cast<std::byte>(1u << bit % 8);
    must(bool(proto::verify_records(bytes, count, base, ends)), "a flipped bit is noticed");
    bytes[bit / 8 % bytes.size()] ^= static_cast<std::byte>(1u << bit % 8);
    must(proto::batch_checksum(bytes) == checksum, "the checksum of a batch depends on nothing else");
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(batch)
