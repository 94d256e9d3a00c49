// Everything a frame can be instead of a frame.
#include <catch2/catch.hpp>

#include "damage.hpp"
#include "feeding.hpp"

namespace millrace::proto {
namespace {

using feeding::feed_at_once;
using samples::byte_string;

byte_string sample(const std::string& name) {
    for (const auto& s : samples::frames())
        if (s.name == name) return s.bytes;
    FAIL("no sample of " << name);
    return {};
}

void refuses(const byte_string& bytes, errc code, const char* words, std::size_t frame_bytes_max = limits::frame_bytes) {
    const auto out = feed_at_once(bytes, frame_bytes_max);
    INFO(to_string(out.failure));
    CHECK(out.frames.empty());
    CHECK(out.failure.code == code);
    CHECK(out.failure.what.find(words) != std::string::npos);
}

byte_string prefix(std::uint32_t length, std::uint32_t head) {
    byte_string bytes(8);
    damage::set_u32(bytes, 0, length);
    damage::set_u32(bytes, 4, head);
    return bytes;
}

// A frame around any flatbuffer, aligned to 8.
byte_string frame_around(const flatbuffers::FlatBufferBuilder& builder) {
    const auto head = (builder.GetSize() + 7) / 8 * 8;
    auto bytes = prefix(static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(head));
    bytes.resize(8 + head);
    std::memcpy(bytes.data() + 8, builder.GetBufferPointer(), builder.GetSize());
    return bytes;
}

}  // namespace

TEST_CASE("a frame that was cut anywhere is waited for") {
    const auto bytes = sample("Publish");
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const auto out = feed_at_once(std::span(bytes).first(size));
        CHECK(out.frames.empty());
        CHECK_FALSE(out.failure);
    }
}

TEST_CASE("an impossible prefix is refused by itself, and nothing is allocated for it") {
    refuses(prefix(0xfffffff8, 64), errc::frame_too_large, "4294967288");
    refuses(prefix(1032, 64), errc::frame_too_large, "the limit is 1024", 1024);
    CHECK_FALSE(feed_at_once(prefix(1024, 64), 1024).failure);
    refuses(prefix(0, 0), errc::malformed_frame, "its head is 0");
    refuses(prefix(64, 0), errc::malformed_frame, "its head is 0");
    refuses(prefix(64, 24), errc::malformed_frame, "its head is 24");
    refuses(prefix(64, 36), errc::malformed_frame, "its head is 36");
    refuses(prefix(64, 72), errc::malformed_frame, "its head is 72");
    refuses(prefix(68, 64), errc::malformed_frame, "68 bytes long, which is not a multiple of 8");

    for (const auto& bad : {prefix(0xfffffff8, 64), prefix(8u << 20, 12)}) {
        frame_decoder decoder(limits::frame_bytes);
        decoder.append(bad);
        CHECK(decoder.prepare(64).size() >= 64);
        CHECK(decoder.capacity_bytes() <= 8192);
    }
}

TEST_CASE("the first failure is final") {
    auto bytes = prefix(64, 12);
    const auto good = sample("Ping");
    frame_decoder decoder(limits::frame_bytes);
    CHECK(feeding::feed(decoder, bytes, [] { return 8; }).failure.code == errc::malformed_frame);
    const auto after = feeding::feed(decoder, good, [] { return 1000; });
    CHECK(after.frames.empty());
    CHECK(after.failure.code == errc::malformed_frame);
    for (int i = 0; i < 1000; ++i) decoder.commit(std::min<std::size_t>(4096, decoder.prepare(4096).size()));
    CHECK(decoder.capacity_bytes() <= 8192);  // what follows is not even kept
}

TEST_CASE("a head of another protocol is refused") {
    auto bytes = sample("Hello");
    bytes[12] = std::byte{'X'};  // in the file identifier
    refuses(bytes, errc::malformed_frame, "MLR1");
    byte_string http;
    for (char c : std::string("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) http.push_back(static_cast<std::byte>(c));
    refuses(http, errc::frame_too_large, "speak this protocol");
}

TEST_CASE("a frame without a message is refused") {
    flatbuffers::FlatBufferBuilder builder;
    builder.ForceVectorAlignment(8, 1, 8);
    const auto ping = wire::CreatePing(builder).Union();
    wire::FinishFrameBuffer(builder, wire::CreateFrame(builder, 1, wire::Message::NONE, ping));
    refuses(frame_around(builder), errc::malformed_frame, "no message");

    builder.Clear();
    builder.CreateString("to make it long enough");
    const auto start = builder.StartTable();
    builder.AddElement<std::uint64_t>(wire::Frame::VT_ID, 1, 0);
    builder.Finish(flatbuffers::Offset<wire::Frame>(builder.EndTable(start)), wire::FrameIdentifier());
    refuses(frame_around(builder), errc::malformed_frame, "not a flatbuffer");
}

TEST_CASE("a message of a later version is handed out, so that it can be answered") {
    flatbuffers::FlatBufferBuilder builder;
    byte_string bytes;
    detail::append_frame(builder, 9, static_cast<wire::Message>(200), wire::CreatePing(builder).Union(), 0, bytes);
    frame_decoder decoder(limits::frame_bytes);
    decoder.append(bytes);
    frame out;
    REQUIRE(decoder.next(out) == frame_decoder::status::frame);
    CHECK(out.head->message_type() == static_cast<wire::Message>(200));
    CHECK(out.head->id() == 9);
}

TEST_CASE("a body is taken behind the messages that have one, and behind no other") {
    for (const auto& s : samples::frames()) {
        auto bytes = s.bytes;
        bytes.resize(bytes.size() + 8);
        damage::set_u32(bytes, 0, static_cast<std::uint32_t>(bytes.size() - 8));
        INFO(s.name);
        if (s.name == "Publish" || s.name == "Deliver" || s.name == "Peeked") CHECK(feed_at_once(bytes).frames.size() == 1);
        else refuses(bytes, errc::malformed_frame, "body of 8 bytes");
    }
}

TEST_CASE("many offsets to one table are refused") {
    flatbuffers::FlatBufferBuilder builder;
    const auto info = wire::CreatePartitionInfo(builder, 1);
    const auto partitions = builder.CreateVector(std::vector(10'000, info));
    byte_string bytes;
    append_frame(builder, 1, wire::CreateTopicInfo(builder, 0, 0, 0, 0, partitions), 0, bytes);
    refuses(bytes, errc::malformed_frame, "not a flatbuffer");
}

TEST_CASE("every flipped bit and much random damage of a frame is refused or read, and never more than that") {
    for (const auto& s : samples::frames())
        for (std::size_t bit = 0; bit < s.bytes.size() * 8; ++bit) {
            auto bytes = s.bytes;
            damage::flip_bit(bytes, bit);
            (void)feed_at_once(bytes);  // which prints every field it takes
        }
    std::mt19937 random(42);
    std::size_t refused = 0, taken = 0;
    const auto all = samples::frames();
    for (int round = 0; round < 50'000; ++round) {
        auto bytes = all[static_cast<std::size_t>(round) % all.size()].bytes;
        damage::mutate(bytes, frame_prefix_bytes, random);
        const auto out = feed_at_once(bytes);
        refused += out.failure ? 1 : 0;
        taken += out.frames.size();
    }
    CHECK(refused > 1000);
    CHECK(taken > 1000);
}

}  // namespace millrace::proto
