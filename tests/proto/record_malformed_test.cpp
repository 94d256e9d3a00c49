// Everything a record can be instead of a record.
#include <catch2/catch.hpp>

#include "damage.hpp"

namespace millrace::proto {
namespace {

using samples::byte_string;

byte_string described() { return samples::encode(samples::records()[1].content); }

error verified(std::span<const std::byte> bytes, std::uint32_t count = 1) {
    std::vector<std::uint32_t> ends{1, 2, 3};
    auto refused = verify_records(bytes, count, 0, ends);
    REQUIRE(ends.size() == (refused ? 3 : 3 + count));
    return refused;
}

error decoded(std::span<const std::byte> bytes) {
    message m;
    return decode_record(bytes, m);
}

// Both readers refuse it alike.
void refuses(std::span<const std::byte> bytes, errc code) {
    const auto refused = verified(bytes);
    INFO(to_string(refused));
    CHECK(refused.code == code);
    CHECK(refused == decoded(bytes));
}

std::vector<std::uint8_t> compressed_payload(const byte_string& record) {
    const auto* payload = wire::GetRecord(record.data() + record_header_bytes)->payload();
    return {payload->begin(), payload->end()};
}

}  // namespace

TEST_CASE("a record that was cut anywhere is refused") {
    const auto record = described();
    for (std::size_t size = 0; size < record.size(); ++size) {
        const auto cut = std::span(record).first(size);
        CHECK(verified(cut).code == errc::malformed_record);
        CHECK(decoded(cut).code == errc::malformed_record);
        CHECK(record_length(cut) == std::nullopt);
    }
}

TEST_CASE("every flipped bit of a record is noticed") {
    const auto record = described();
    for (std::size_t bit = 0; bit < record.size() * 8; ++bit) {
        auto damaged = record;
        damage::flip_bit(damaged, bit);
        const auto refused = verified(damaged);
        INFO(bit << " " << to_string(refused));
        CHECK(refused);
        if (bit >= 32) CHECK(refused.code == errc::checksum_mismatch);
        CHECK(decoded(damaged));
    }
}

TEST_CASE("impossible lengths are refused before anything is read") {
    for (std::uint32_t length : {0u, 1u, 8u, 16u, 25u, 31u, 1u << 20}) {
        auto record = described();
        damage::set_u32(record, 0, length);
        damage::seal(record);
        INFO(length);
        refuses(record, errc::malformed_record);
        CHECK(record_length(record) == std::nullopt);
    }
    for (std::uint32_t length : {static_cast<std::uint32_t>(limits::message_bytes + envelope_bytes_max) + 8, 0xfffffff8u, 0xffffffffu}) {
        auto record = described();
        damage::set_u32(record, 0, length);
        refuses(record, errc::message_too_large);
    }
    // What may still become an envelope is not refused for its length alone, but at publish it is.
    auto record = described();
    damage::set_u32(record, 0, limits::message_bytes + 8);
    CHECK(verified(record).code == errc::message_too_large);
    CHECK(decoded(record).code == errc::malformed_record);
}

TEST_CASE("another number of records than announced is refused, by index") {
    auto two = described();
    const auto one = two;
    two.insert(two.end(), one.begin(), one.end());
    CHECK(verified(two, 1).code == errc::malformed_record);
    CHECK(verified(two, 0).code == errc::malformed_record);
    CHECK(verified(two, 3).what.find("record 2 ") == 0);
    CHECK(verified(two, 0xffffffff).code == errc::malformed_record);
    CHECK(decoded(two).code == errc::malformed_record);
    damage::flip_bit(two, one.size() * 8 + 100);
    const auto refused = verified(two, 2);
    CHECK(refused.code == errc::checksum_mismatch);
    CHECK(refused.what.find("record 1 ") == 0);
}

TEST_CASE("a valid checksum over something else than a Record is refused") {
    for (int fill : {0x00, 0x01, 0x10, 0x7f, 0xff}) {
        byte_string record(64, static_cast<std::byte>(fill));
        damage::set_u32(record, 0, 64);
        damage::seal(record);
        refuses(record, errc::malformed_record);
    }
}

TEST_CASE("the shortest record is an empty message") {
    flatbuffers::FlatBufferBuilder builder;
    wire::FinishRecordBuffer(builder, wire::CreateRecord(builder));
    const auto record = damage::record_around(builder);
    CHECK(record.size() == 24);
    CHECK_FALSE(verified(record));
    CHECK_FALSE(decoded(record));
}

TEST_CASE("sealed random damage is refused or read, and never more than that") {
    std::mt19937 random(42);
    std::size_t refused = 0, taken = 0;
    const auto all = samples::records();
    for (int round = 0; round < 20'000; ++round) {
        const auto& sample = all[round % all.size()];
        auto record = samples::encode(sample.content, sample.method);
        damage::mutate(record, record_header_bytes, random);
        damage::seal(record);
        ++(verified(record) ? refused : taken);
        message m;
        if (!decode_record(record, m)) REQUIRE(m.key.size() + m.payload.size() <= limits::message_bytes);
    }
    CHECK(refused > 1000);
    CHECK(taken > 1000);
}

TEST_CASE("too many headers, and headers without a name") {
    REQUIRE_FALSE(verified(damage::record_with_headers(limits::headers, "n", 1)));
    for (std::size_t count : {limits::headers + 1, std::size_t{100'000}}) {
        // 100 000 offsets to one table are no honest record either, but a count is what its sender can understand.
        auto refused = verified(damage::record_with_headers(count, "n", count * 8));
        CHECK(refused.code == errc::too_many_headers);
        CHECK(refused.what.find(std::to_string(count)) != std::string::npos);
    }
    refuses(damage::record_with_headers(1, "", 1), errc::malformed_record);
}

TEST_CASE("a small record that names its bytes many times does not become a large message") {
    const auto record = damage::record_with_headers(limits::headers, "n", 1u << 20);
    REQUIRE(record.size() < (1u << 20) + 1024);
    refuses(record, errc::message_too_large);
}

TEST_CASE("a compressed payload that would become larger than the limit is refused before it is decompressed") {
    for (std::uint8_t method : {1, 2, 7}) refuses(damage::record_of(std::vector<std::uint8_t>(32), method, limits::message_bytes + 1), errc::message_too_large);
    refuses(damage::record_of(std::vector<std::uint8_t>(32), 2, 0xffffffff), errc::message_too_large);
}

TEST_CASE("a compressed payload that does not become what it announces is refused by the decoder alone") {
    for (const auto& sample : samples::records()) {
        if (sample.method == compression::none) continue;
        const auto payload = compressed_payload(samples::encode(sample.content, sample.method));
        const auto size = static_cast<std::uint32_t>(sample.content.payload.size());
        const auto method = static_cast<std::uint8_t>(sample.method);
        REQUIRE_FALSE(decoded(damage::record_of(payload, method, size)));
        const auto short_of = std::span(payload).first(payload.size() - 1);
        const std::vector<std::uint8_t> noise(100, 0x55);
        for (const auto& record : {damage::record_of(payload, method, size - 1), damage::record_of(payload, method, size + 1),
                                   damage::record_of(payload, method, 0), damage::record_of(payload, method, limits::message_bytes),
                                   damage::record_of(short_of, method, size), damage::record_of(noise, method, size),
                                   damage::record_of({}, method, size)}) {
            CHECK_FALSE(verified(record));
            CHECK(decoded(record).code == errc::malformed_record);
        }
    }
}

TEST_CASE("a method this side does not know passes the broker and is named by the decoder") {
    const auto record = damage::record_of(std::vector<std::uint8_t>(32), 7, 1000);
    CHECK_FALSE(verified(record));
    const auto refused = decoded(record);
    CHECK(refused.code == errc::unknown_compression);
    CHECK(refused.what.find("method 7") != std::string::npos);
}

}  // namespace millrace::proto
