// One record: as a producer sent it, as it stands in a dead letter, or as anything else. The first byte says whether it gets a valid checksum, and
// where it lies in memory.
#include <optional>

#include "tests/fuzz/sealing.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

std::size_t content_bytes(const message& m) {
    auto bytes = m.key.size() + m.payload.size();
    for (const auto& h : m.headers) bytes += h.name.size() + h.value.size();
    return bytes;
}

/// What was read can be written, and reads the same.
void write_again(const message& m, proto::compression method) {
    static proto::record_encoder encoder;
    std::vector<std::byte> written;
    if (const auto refused = encoder.append(m, method, written)) {  // its tables may have been shared, and take more room now
        must(refused.code == errc::message_too_large, "a message that was read is refused for its size alone", refused);
        return;
    }
    message again;
    std::optional<proto::dead_origin> died;
    must(!proto::decode_record(written, again, &died) && !died, "what was written can be read");
    must(again == m, "a message reads as it was written");
}

void wrap(std::span<const std::byte> record, const message& m) {
    const proto::dead_origin origin{"photos", "resize", 3, {100}, 5, "why"};
    std::vector<std::byte> envelope;
    if (const auto refused = proto::append_envelope(origin, record, envelope)) {
        must(refused.code == errc::message_too_large && envelope.empty(), "a readable record can be wrapped unless it was too often", refused);
        return;
    }
    message inside;
    std::optional<proto::dead_origin> died;
    must(!proto::decode_record(envelope, inside, &died), "an envelope can be read");
    must(inside == m && died == origin, "an envelope holds what was put into it");
    std::vector<std::uint32_t> ends;
    must(proto::verify_records(envelope, 1, 0, ends).code == errc::malformed_record, "nobody may publish an envelope");
}

}  // namespace

void record(input in) {
    choices c(in);
    const auto kind = c.byte();
    placed_bytes placed(bytes_of(c.rest()).first(kind & 1 ? c.rest().size() / 8 * 8 : c.rest().size()), kind & 2 ? 1 + kind / 4 % 7 : 0);
    if (kind & 1) seal_record(placed.get());
    const auto bytes = placed.get();

    message m;
    std::optional<proto::dead_origin> died;
    const auto unreadable = proto::decode_record(bytes, m, &died);
    std::vector<std::uint32_t> ends{7};
    const auto refused = proto::verify_records(bytes, 1, 40, ends);
    must(ends.size() == (refused ? 1u : 2u) && ends.front() == 7, "ends are appended when all is well, and only then");

    if (!refused) {
        must(ends.back() == 40 + bytes.size(), "a record ends where its bytes end");
        must(proto::record_length(bytes) == bytes.size() && !proto::verify_checksums(bytes), "a verified record has length and checksum");
        must(!unreadable || unreadable.code == errc::malformed_record || unreadable.code == errc::unknown_compression,
             "a verified record is readable but for its compression", unreadable);
        must(!died, "what a producer may publish is no envelope");
    }
    if (unreadable) {
        must(!unreadable.what.empty() && (refused || unreadable.code != errc::checksum_mismatch), "who refuses says why");
        return;
    }
    must(content_bytes(m) <= limits::message_bytes, "no message is larger than the limit");
    must(refused.code == (died ? errc::malformed_record : errc::ok), "what can be read may be published, unless it is an envelope", refused);
    write_again(m, static_cast<proto::compression>(kind / 32 % 3));
    wrap(bytes, m);
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(record)
