// Any message a program may hand in, on its way to bytes and back, through envelopes, and damaged by one bit.
#include <optional>

#include "tests/fuzz/sealing.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

message any_message(choices& c) {
    message m;
    m.key = c.text(40);
    for (auto headers = c.below(c.one_in(16) ? 70 : 4); headers > 0; --headers) {
        m.headers.push_back({c.text(10), {}});
        m.headers.back().value = c.text(20);
    }
    m.payload = c.text(300);
    for (auto times = c.below(16); times > 0; --times) m.payload += m.payload.substr(0, 500);  // what compresses well
    return m;
}

bool may_be_sent(const message& m) {
    for (const auto& h : m.headers)
        if (h.name.empty()) return false;
    return m.headers.size() <= limits::headers;
}

}  // namespace

void message(input in) {
    choices c(in);
    const auto method = static_cast<proto::compression>(c.below(3));
    const auto envelopes = c.below(10);
    const auto damaged_at = c.below(1u << 16);
    const auto sent = any_message(c);

    static proto::record_encoder encoder;
    std::vector<std::byte> record(8);  // behind another
    const auto refused = encoder.append(sent, method, record);
    must(may_be_sent(sent) == !refused, "a message is taken unless it breaks a rule", refused);
    if (refused) return must(record.size() == 8, "a refused message leaves nothing behind");
    record.erase(record.begin(), record.begin() + 8);

    proto::dead_origin origin{"photos", "resize", 3, {100}, 0, c.text(20)};
    for (std::uint64_t i = 0; i < envelopes; ++i) {
        origin.failures = static_cast<std::uint32_t>(i);
        std::vector<std::byte> envelope;
        const auto unwrapped = proto::append_envelope(origin, record, envelope);
        must((i >= proto::envelope_depth_max) == (unwrapped.code == errc::message_too_large), "a record is wrapped so often and no more", unwrapped);
        if (unwrapped) break;
        record = std::move(envelope);
    }
    millrace::message received;
    std::optional<proto::dead_origin> died;
    must(!proto::decode_record(record, received, &died), "a record that was written can be read");
    must(received == sent && died.has_value() == (envelopes > 0), "a message is received as it was sent");
    must(!died || died->failures == std::min<std::uint64_t>(envelopes, proto::envelope_depth_max) - 1, "the outermost origin is the one that counts");

    auto& byte = record[damaged_at / 8 % record.size()];
    byte ^= static_cast<std::byte>(1u << damaged_at % 8);
    must(bool(proto::decode_record(record, received)), "a flipped bit is noticed");
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(message)
