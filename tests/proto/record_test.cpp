#include <cstring>

#include <catch2/catch.hpp>

#include "proto/little_endian.hpp"
#include "samples.hpp"

namespace millrace::proto {
namespace {

using samples::byte_string;
using samples::encode;

message decoded(std::span<const std::byte> record) {
    message m{"left", {{"over", "from"}}, "before"};
    const auto refused = decode_record(record, m);
    INFO(to_string(refused));
    REQUIRE_FALSE(refused);
    return m;
}

message with_payload(std::size_t size, char fill = 'x') { return {"", {}, std::string(size, fill)}; }

std::string incompressible(std::size_t size) {
    std::string bytes(size, '\0');
    std::uint32_t state = 1;
    for (auto& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    return bytes;
}

}  // namespace

TEST_CASE("a record gives back the message it was made of") {
    message m{std::string("k\0y", 3), {{"a", "1"}, {"a", "2"}, {"b", ""}}, std::string(5, '\0')};
    for (std::size_t size : {0u, 1u, 7u, 8u, 511u, 512u, 513u, 70'000u})
        for (const auto method : {compression::none, compression::lz4, compression::zstd}) {
            m.payload = incompressible(size / 2) + std::string(size - size / 2, 'x');
            const auto record = encode(m, method);
            REQUIRE(record.size() % record_alignment == 0);
            REQUIRE(decoded(record) == m);
        }
}

TEST_CASE("equal messages have equal bytes, whatever the encoder did before") {
    record_encoder encoder;
    byte_string out;
    for (const auto& sample : samples::records()) REQUIRE_FALSE(encoder.append(sample.content, compression::none, out));
    byte_string separately;
    for (const auto& sample : samples::records()) {
        const auto one = encode(sample.content);
        separately.insert(separately.end(), one.begin(), one.end());
    }
    REQUIRE(out == separately);
}

TEST_CASE("a payload is compressed above the threshold and only when that makes the record smaller") {
    for (const auto method : {compression::lz4, compression::zstd}) {
        CHECK(encode(with_payload(compression_threshold_bytes), method) == encode(with_payload(compression_threshold_bytes)));
        CHECK(encode(with_payload(compression_threshold_bytes + 1), method).size() < 128);
        const message noise{"", {}, incompressible(4096)};
        CHECK(encode(noise, method) == encode(noise));
    }
}

TEST_CASE("records end to end are verified in one go") {
    byte_string bytes;
    std::vector<std::uint32_t> expected{7};
    for (const auto& sample : samples::records()) {
        const auto one = encode(sample.content, sample.method);
        bytes.insert(bytes.end(), one.begin(), one.end());
        expected.push_back(static_cast<std::uint32_t>(1000 + bytes.size()));
    }
    std::vector<std::uint32_t> ends{7};
    REQUIRE_FALSE(verify_records(bytes, static_cast<std::uint32_t>(samples::records().size()), 1000, ends));
    CHECK(ends == expected);
    REQUIRE_FALSE(verify_records({}, 0, 0, ends));
    CHECK(ends == expected);
}

TEST_CASE("records are read at any alignment") {
    const auto sample = samples::records()[1];
    const auto record = encode(sample.content);
    for (std::size_t shift = 0; shift < 8; ++shift) {
        byte_string moved(shift + record.size());
        std::memcpy(moved.data() + shift, record.data(), record.size());
        const auto bytes = std::span(moved).subspan(shift);
        std::vector<std::uint32_t> ends;
        REQUIRE_FALSE(verify_records(bytes, 1, 0, ends));
        CHECK(decoded(bytes) == sample.content);
        CHECK(record_length(bytes) == record.size());
    }
}

TEST_CASE("a batch checksum names the records and their order") {
    const auto a = encode(with_payload(10, 'a')), b = encode(with_payload(10, 'b'));
    byte_string ab = a, ba = b;
    ab.insert(ab.end(), b.begin(), b.end());
    ba.insert(ba.end(), a.begin(), a.end());
    CHECK(batch_checksum(ab) != batch_checksum(ba));
    CHECK(batch_checksum(a) != batch_checksum(b));
    CHECK(batch_checksum({}) == 0);
}

TEST_CASE("a message over a limit is not encoded and leaves the output as it was") {
    record_encoder encoder;
    byte_string out(8);
    const auto refuses = [&](const message& m, errc code, compression method = compression::none) {
        const auto refused = encoder.append(m, method, out);
        INFO(to_string(refused));
        CHECK(refused.code == code);
        CHECK(out.size() == 8);
    };
    refuses(with_payload(limits::message_bytes), errc::message_too_large);
    refuses(with_payload(limits::message_bytes + 1), errc::message_too_large, compression::zstd);
    refuses({"", std::vector<header>(limits::headers + 1, {"n", "v"}), ""}, errc::too_many_headers);
    refuses({"", {{"n", "v"}, {"", "v"}}, ""}, errc::invalid_argument);
}

TEST_CASE("a message at a limit is encoded") {
    CHECK(decoded(encode(with_payload(limits::message_bytes - 64))).payload.size() == limits::message_bytes - 64);
    CHECK(decoded(encode(with_payload(limits::message_bytes), compression::lz4)).payload.size() == limits::message_bytes);
    const message full{"", std::vector<header>(limits::headers, {"n", "v"}), ""};
    CHECK(decoded(encode(full)) == full);
}

}  // namespace millrace::proto
