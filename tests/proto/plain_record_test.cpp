// Records that are made and verified without a flatbuffers library are those that it makes, and takes.
#include "proto/plain_record.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "damage.hpp"

namespace millrace::proto {
namespace {

samples::byte_string built(const std::string& payload) {
    flatbuffers::FlatBufferBuilder builder;
    builder.ForceVectorAlignment(record_alignment, 1, record_alignment);
    const auto content = builder.CreateVector(reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size());
    wire::FinishRecordBuffer(builder, wire::CreateRecord(builder, 0, 0, content));
    return damage::record_around(builder);
}

bool holds(std::span<const std::byte> flatbuffer) {
    flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(flatbuffer.data()), flatbuffer.size());
    return wire::VerifyRecordBuffer(verifier);
}

std::span<const std::byte> flatbuffer_of(const samples::byte_string& record) { return std::span(record).subspan(record_header_bytes); }

}  // namespace

TEST_CASE("a plain record has the bytes that flatbuffers make of it") {
    for (std::size_t size : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 12u, 13u, 100u, 511u, 512u, 513u, 1024u, 70'001u}) {
        const message m{"", {}, std::string(size, 'x')};
        REQUIRE(is_plain(m));
        const auto record = samples::encode(m);
        CHECK(record == built(m.payload));
        CHECK(record.size() == record_header_bytes + plain_flatbuffer_bytes(size));
        CHECK(plain_payload(flatbuffer_of(record)) == m.payload);
    }
}

TEST_CASE("a message with anything but a payload is not plain, nor is one without") {
    CHECK_FALSE(is_plain({"k", {}, "p"}));
    CHECK_FALSE(is_plain({"", {{"n", "v"}}, "p"}));
    CHECK_FALSE(is_plain({"", {}, ""}));
    for (const auto& sample : samples::records()) {
        const auto record = samples::encode(sample.content, sample.method);
        const auto* content = wire::GetRecord(record.data() + record_header_bytes);
        INFO(sample.name);
        CHECK(plain_payload(flatbuffer_of(record)).has_value() == (is_plain(sample.content) && content->compression() == wire::Compression::none));
    }
}

TEST_CASE("whatever is changed in a plain record, what is taken for one is sound, and says what flatbuffers read there") {
    for (const std::size_t size : {1u, 5u, 24u, 100u}) {
        const auto record = samples::encode({"", {}, std::string(size, 'x')});
        const auto looked_at = std::min<std::size_t>(record.size(), 48);
        std::size_t plain = 0;
        for (auto at = record_header_bytes; at < looked_at; ++at)
            for (int value = 0; value < 256; ++value) {
                auto changed = record;
                changed[at] = static_cast<std::byte>(value);
                damage::seal(changed);
                const auto flatbuffer = flatbuffer_of(changed);
                message m;
                const auto refused = decode_record(changed, m);
                INFO(size << ", " << at << ", " << value << ": " << to_string(refused));
                if (!holds(flatbuffer)) CHECK(refused);
                if (plain_payload(flatbuffer)) {
                    ++plain;
                    CHECK(holds(flatbuffer));
                    CHECK_FALSE(refused);
                    const auto* payload = wire::GetRecord(flatbuffer.data())->payload();
                    CHECK(m.payload == std::string(payload->begin(), payload->end()));
                }
            }
        CHECK(plain > 256);
    }
}

TEST_CASE("a plain record whose payload would end behind it is refused") {
    auto record = samples::encode({"", {}, "photo"});
    const auto flatbuffer = flatbuffer_of(record);
    const auto length_at = flatbuffer.size() - 8 - 4;  // in front of the payload and its padding
    damage::set_u32(record, record_header_bytes + length_at, 8);
    damage::seal(record);
    message m;
    CHECK_FALSE(decode_record(record, m));  // into the padding
    damage::set_u32(record, record_header_bytes + length_at, 9);
    damage::seal(record);
    std::vector<std::uint32_t> ends;
    CHECK(verify_records(record, 1, 0, ends).code == errc::malformed_record);
    CHECK(decode_record(record, m).code == errc::malformed_record);
}

TEST_CASE("bytes that are too few for a plain record are none") {
    const auto record = samples::encode({"", {}, std::string(3, 'x')});
    for (std::size_t size = 0; size < flatbuffer_of(record).size(); ++size) CHECK_FALSE(plain_payload(flatbuffer_of(record).first(size)));
}

}  // namespace millrace::proto
