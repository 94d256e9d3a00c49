// The record of a dead letter: what it keeps, and everything it can be instead.
#include <algorithm>

#include <catch2/catch.hpp>

#include "damage.hpp"

namespace millrace::proto {
namespace {

using samples::byte_string;
using samples::encode;
using samples::envelope;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using bytes_at = Offset<flatbuffers::Vector<std::uint8_t>>;
using origin_at = Offset<wire::Origin>;

struct letter {
    message content;
    std::optional<dead_origin> died;
};

letter decoded(std::span<const std::byte> record) {
    letter out{{"left", {{"over", "from"}}, "before"}, dead_origin{"left", "over", 1, {2}, 3, "before"}};
    const auto refused = decode_record(record, out.content, &out.died);
    INFO(to_string(refused));
    REQUIRE_FALSE(refused);
    return out;
}

error refusal(std::span<const std::byte> record) {
    message m;
    return decode_record(record, m);
}

error at_publish(std::span<const std::byte> records, std::uint32_t count = 1) {
    std::vector<std::uint32_t> ends;
    auto refused = verify_records(records, count, 0, ends);
    CHECK(ends.size() == (refused ? 0 : count));
    return refused;
}

void refuses(std::span<const std::byte> record, errc code, const std::string& words) {
    const auto refused = refusal(record);
    INFO(to_string(refused));
    CHECK(refused.code == code);
    CHECK(refused.what.find(words) != std::string::npos);
    // What does not decode is not wrapped either, so no damage gets a valid checksum around it.
    byte_string out(8);
    CHECK(append_envelope(samples::origin(), record, out) == refused);
    CHECK(out.size() == 8);
}

byte_string hello() { return encode(samples::records().front().content); }

byte_string wrapped_times(byte_string record, std::size_t times) {
    while (times-- > 0) record = envelope(record);
    return record;
}

// An honest envelope's fields.
Offset<wire::Record> plain_envelope(FlatBufferBuilder& b, origin_at origin, bytes_at wrapped) {
    return wire::CreateRecord(b, 0, 0, 0, wire::Compression::none, 0, origin, wrapped);
}

// As many as a record may have: with the origin that is one table more.
Offset<wire::Record> envelope_with_headers(FlatBufferBuilder& b, origin_at origin, bytes_at wrapped) {
    std::vector<Offset<wire::Header>> headers;
    while (headers.size() < limits::headers) headers.push_back(wire::CreateHeader(b, b.CreateString("n")));
    const auto at = b.CreateVector(headers);
    return wire::CreateRecord(b, 0, at, 0, wire::Compression::none, 0, origin, wrapped);
}

// Seals an envelope, whatever is inside.
byte_string around(const byte_string& wrapped) { return damage::envelope_of(wrapped, plain_envelope); }

}  // namespace

TEST_CASE("an envelope gives back the message and its origin, and holds the record byte for byte") {
    for (const auto& sample : samples::records()) {
        const auto record = encode(sample.content, sample.method);
        const auto dead = envelope(record);
        INFO(sample.name);
        CHECK(dead.size() % record_alignment == 0);
        CHECK(record_length(dead) == dead.size());
        const auto at = damage::wrapped_at(dead);
        CHECK(at % record_alignment == 0);
        CHECK(std::ranges::equal(std::span(dead).subspan(at, record.size()), record));
        const auto got = decoded(dead);
        CHECK(got.content == sample.content);
        CHECK(got.died == samples::origin());
        CHECK_FALSE(refusal(dead));  // by who does not ask for the origin
    }
}

TEST_CASE("a record that is no envelope did not die") { CHECK(decoded(hello()).died == std::nullopt); }

TEST_CASE("a dead letter may die for no reason, and of names of any length") {
    for (std::size_t length = 0; length < 20; ++length) {
        const dead_origin origin{std::string(length, 't'), std::string(length / 2, 's'), 0, {0}, 0, std::string(length / 3, 'r')};
        const auto dead = envelope(hello(), origin);
        CHECK(damage::wrapped_at(dead) % record_alignment == 0);
        CHECK(decoded(dead).died == origin);
    }
}

TEST_CASE("envelopes are appended behind what is there, and are read and wrapped at any alignment") {
    auto out = hello();
    const auto first = out;
    REQUIRE_FALSE(append_envelope(samples::origin(), first, out));
    const auto dead = envelope(first);
    CHECK(std::ranges::equal(std::span(out).first(first.size()), first));
    CHECK(std::ranges::equal(std::span(out).subspan(first.size()), dead));
    for (std::size_t shift = 0; shift < 8; ++shift) {
        byte_string moved(shift + dead.size());
        std::ranges::copy(dead, moved.begin() + static_cast<std::ptrdiff_t>(shift));
        const auto bytes = std::span(moved).subspan(shift);
        CHECK(decoded(bytes).died == samples::origin());
        byte_string again;
        REQUIRE_FALSE(append_envelope(samples::origin(), bytes, again));
        CHECK(again == envelope(dead));
    }
}

TEST_CASE("a dead letter that dies again tells of its last death, and may do so a number of times") {
    auto record = hello();
    for (std::uint32_t death = 1; death <= envelope_depth_max; ++death) {
        auto origin = samples::origin();
        origin.topic = "dead" + std::to_string(death);
        origin.failures = death;
        record = envelope(record, origin);
        const auto got = decoded(record);
        CHECK(got.content == samples::records().front().content);
        CHECK(got.died == origin);
    }
    byte_string out(8);
    CHECK(append_envelope(samples::origin(), record, out).code == errc::message_too_large);
    CHECK(out.size() == 8);
    refuses(around(record), errc::message_too_large, "at most 8 envelopes");
}

TEST_CASE("a message of the largest size can die as often as any other") {
    const message largest{"", {}, std::string(limits::message_bytes - 64, 'x')};
    auto longest = samples::origin();
    longest.reason.assign(origin_bytes_max - longest.topic.size() - longest.subscription.size(), 'r');
    auto record = encode(largest);
    for (std::size_t death = 0; death < envelope_depth_max; ++death) record = envelope(record, longest);
    CHECK(record.size() > limits::message_bytes);
    CHECK(record.size() <= limits::message_bytes + envelope_bytes_max);
    const auto got = decoded(record);
    CHECK(got.content == largest);
    CHECK(got.died == longest);
    CHECK(at_publish(record).code == errc::message_too_large);
}

TEST_CASE("an origin over its limit is not encoded, and not taken from elsewhere") {
    auto origin = samples::origin();
    origin.reason.assign(origin_bytes_max - origin.topic.size() - origin.subscription.size() + 1, 'r');
    byte_string out(8);
    CHECK(append_envelope(origin, hello(), out).code == errc::message_too_large);
    CHECK(out.size() == 8);
    const auto record = damage::envelope_of(hello(), [](FlatBufferBuilder& b, origin_at, bytes_at wrapped) {
        const auto name = b.CreateString(std::string(origin_bytes_max / 2, 'n'));  // one string, named three times
        return plain_envelope(b, wire::CreateOrigin(b, name, name, 0, 0, 0, name), wrapped);
    });
    refuses(record, errc::message_too_large, "names and reason");
}

TEST_CASE("the room for envelopes is no room for a larger message") {
    flatbuffers::FlatBufferBuilder builder;
    const std::vector<std::uint8_t> payload(limits::message_bytes - 8);
    const auto at = builder.CreateVector(payload);
    wire::FinishRecordBuffer(builder, wire::CreateRecord(builder, 0, 0, at));
    const auto record = damage::record_around(builder);
    REQUIRE(record.size() > limits::message_bytes);
    REQUIRE(record.size() < limits::message_bytes + envelope_bytes_max);
    CHECK(at_publish(record).code == errc::message_too_large);
    CHECK(refusal(record) == at_publish(record));
    refuses(around(record), errc::message_too_large, "inside envelope 1, ");

    const byte_string over(limits::message_bytes + envelope_bytes_max, std::byte{});
    refuses(around(over), errc::message_too_large, "the limit is");
}

TEST_CASE("a producer cannot publish what looks like a dead letter") {
    const auto refused = at_publish(envelope(hello()));
    CHECK(refused.code == errc::malformed_record);
    CHECK(refused.what.find("record 0 is a forged envelope") == 0);

    auto two = hello();
    REQUIRE_FALSE(append_envelope(samples::origin(), hello(), two));
    CHECK(at_publish(two, 2).what.find("record 1 is a forged envelope") == 0);

    // Half an envelope is one too, whatever else it holds.
    const auto only_origin = [](FlatBufferBuilder& b, origin_at origin, bytes_at) { return plain_envelope(b, origin, 0); };
    const auto only_wrapped = [](FlatBufferBuilder& b, origin_at, bytes_at wrapped) { return plain_envelope(b, 0, wrapped); };
    const auto with_payload = [](FlatBufferBuilder& b, origin_at origin, bytes_at wrapped) {
        return wire::CreateRecord(b, wrapped, 0, wrapped, wire::Compression::none, 0, origin);
    };
    for (const auto& record : {damage::envelope_of(hello(), only_origin), damage::envelope_of(hello(), only_wrapped), damage::envelope_of({}, only_wrapped),
                               damage::envelope_of(hello(), with_payload), damage::envelope_of(hello(), envelope_with_headers)}) {
        CHECK(at_publish(record).code == errc::malformed_record);
        CHECK(at_publish(record).what.find("forged") != std::string::npos);
    }
    refuses(damage::envelope_of(hello(), only_origin), errc::malformed_record, "without a wrapped record");
    refuses(damage::envelope_of(hello(), only_wrapped), errc::malformed_record, "without an origin");
}

TEST_CASE("an envelope has nothing of its own but the origin") {
    const auto refuses_own = [](auto build) { refuses(damage::envelope_of(hello(), build), errc::malformed_record, "of its own"); };
    refuses_own([](FlatBufferBuilder& b, origin_at o, bytes_at w) { return wire::CreateRecord(b, w, 0, 0, wire::Compression::none, 0, o, w); });
    refuses_own([](FlatBufferBuilder& b, origin_at o, bytes_at w) { return wire::CreateRecord(b, 0, 0, w, wire::Compression::none, 0, o, w); });
    refuses_own([](FlatBufferBuilder& b, origin_at o, bytes_at w) { return wire::CreateRecord(b, 0, 0, 0, wire::Compression::lz4, 9, o, w); });
    refuses_own(envelope_with_headers);
}

TEST_CASE("what an envelope wraps is one whole record, aligned") {
    const auto record = hello();
    auto two = record;
    two.insert(two.end(), record.begin(), record.end());
    auto headless = record;
    headless.erase(headless.begin(), headless.begin() + 8);
    refuses(around({}), errc::malformed_record, "inside envelope 1, record 0 has 0 bytes left");
    refuses(around(two), errc::malformed_record, "follow the one record");
    refuses(around(headless), errc::malformed_record, "inside envelope 1, ");
    for (std::size_t size = 0; size < record.size(); ++size)
        refuses(around({record.begin(), record.begin() + static_cast<std::ptrdiff_t>(size)}), errc::malformed_record, "inside envelope 1, ");
    refuses(damage::envelope_of(record, plain_envelope, 4), errc::malformed_record, "not aligned to 8");
}

TEST_CASE("a wrapped record that was tampered with is noticed at any depth, also when every envelope is sealed again") {
    const auto record = hello();
    for (std::size_t depth = 0; depth < envelope_depth_max; ++depth)
        for (std::size_t at = 4; at < record.size(); ++at) {
            auto tampered = record;
            damage::flip_bit(tampered, at * 8 + at % 8);
            for (std::size_t i = 0; i <= depth; ++i) tampered = around(tampered);
            refuses(tampered, errc::checksum_mismatch, "inside envelope " + std::to_string(depth + 1) + ", ");
        }
}

TEST_CASE("an envelope that was cut anywhere, and every flipped bit of one, is refused") {
    const auto dead = wrapped_times(hello(), 2);
    for (std::size_t size = 0; size < dead.size(); ++size) CHECK(refusal(std::span(dead).first(size)).code == errc::malformed_record);
    for (std::size_t bit = 0; bit < dead.size() * 8; ++bit) {
        auto damaged = dead;
        damage::flip_bit(damaged, bit);
        INFO(bit);
        CHECK(refusal(damaged));
    }
}

TEST_CASE("sealed random damage to envelopes is refused or read, and never published") {
    std::mt19937 random(43);
    std::size_t refused = 0, taken = 0;
    const auto all = samples::records();
    for (int round = 0; round < 20'000; ++round) {
        const auto& sample = all[static_cast<std::size_t>(round) % all.size()];
        auto dead = wrapped_times(encode(sample.content, sample.method), 1 + random() % 2);
        const auto inner = damage::wrapped_at(dead);
        damage::mutate(dead, record_header_bytes, random);
        // Half the time the damage is inside an envelope that says so.
        if (random() % 2 == 0) {
            byte_string record(dead.begin() + static_cast<std::ptrdiff_t>(inner), dead.end());
            damage::set_u32(record, 0, static_cast<std::uint32_t>(record.size() / 8 * 8));
            record.resize(record.size() / 8 * 8);
            damage::seal(record);
            dead = around(record);
        }
        damage::seal(dead);
        message m;
        std::optional<dead_origin> died;
        const bool wrong(decode_record(dead, m, &died));
        ++(wrong ? refused : taken);
        if (!wrong) REQUIRE(m.key.size() + m.payload.size() <= limits::message_bytes);
        if (!wrong && died) CHECK(at_publish(dead));
    }
    CHECK(refused > 1000);
    CHECK(taken > 1000);
}

}  // namespace millrace::proto
