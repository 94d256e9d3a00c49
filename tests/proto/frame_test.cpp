#include <random>

#include <catch2/catch.hpp>

#include "feeding.hpp"

namespace millrace::proto {
namespace {

using feeding::feed;
using samples::byte_string;
using status = frame_decoder::status;

byte_string all_frames() {
    byte_string bytes;
    for (const auto& sample : samples::frames()) bytes.insert(bytes.end(), sample.bytes.begin(), sample.bytes.end());
    return bytes;
}

byte_string publish(std::size_t body_bytes) {
    flatbuffers::FlatBufferBuilder builder;
    byte_string bytes;
    append_frame(builder, 1, wire::CreatePublish(builder, 7, 3, 1), body_bytes, bytes);
    bytes.resize(bytes.size() + body_bytes, std::byte{0x5a});
    return bytes;
}

}  // namespace

TEST_CASE("a frame comes out as it went in, however the stream is cut") {
    const auto bytes = all_frames();
    const auto expected = feeding::feed_at_once(bytes);
    REQUIRE(expected.frames.size() == samples::frames().size());
    REQUIRE_FALSE(expected.failure);

    for (std::size_t piece : {1u, 7u, 8u, 9u, 100u, 4096u})
        for (std::size_t at_least : {0u, 1u, 64u, 5000u}) {
            frame_decoder decoder(limits::frame_bytes);
            REQUIRE(feed(decoder, bytes, [&] { return piece; }, at_least) == expected);
            REQUIRE(decoder.buffered_bytes() == 0);
        }
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        frame_decoder decoder(limits::frame_bytes);
        REQUIRE(feed(decoder, bytes, [&] { return 1 + random() % 300; }, 1 + random() % 300) == expected);
    }
}

TEST_CASE("bytes that were read elsewhere may hold the end of one frame and more behind it") {
    for (std::size_t body : {8u, 1000u, 1u << 16}) {
        const auto one = publish(body);
        auto bytes = one;
        for (int i = 0; i < 3; ++i) bytes.insert(bytes.end(), one.begin(), one.end());
        const auto expected = feeding::feed_at_once(bytes);
        for (std::size_t lacks : {std::size_t{1}, std::size_t{8}, std::size_t{100}, one.size() - 8, one.size()}) {
            if (lacks > one.size()) continue;
            frame_decoder decoder(limits::frame_bytes);
            auto rest = std::span<const std::byte>(bytes).subspan(one.size() - lacks);
            feeding::outcome out = feed(decoder, std::span(bytes).first(one.size() - lacks), [&] { return one.size(); });
            while (!rest.empty()) {
                const auto size = std::min<std::size_t>(2048, rest.size());
                decoder.append(rest.first(size));
                rest = rest.subspan(size);
                for (frame next; decoder.next(next) == status::frame;) out.frames.push_back(feeding::taken(next));
            }
            CHECK(out == expected);
            CHECK(decoder.buffered_bytes() == 0);
            CHECK(decoder.capacity_bytes() <= 2 * (one.size() + 8192));
        }
    }
}

TEST_CASE("heads and bodies are aligned to 8") {
    auto bytes = publish(16);
    const auto one = bytes;
    bytes.insert(bytes.end(), one.begin(), one.end());
    frame_decoder decoder(limits::frame_bytes);
    decoder.append(bytes);
    for (int i = 0; i < 2; ++i) {
        frame out;
        REQUIRE(decoder.next(out) == status::frame);
        CHECK(reinterpret_cast<std::uintptr_t>(out.body.data()) % 8 == 0);
        CHECK(out.body.size() == 16);
        CHECK(out.head->message_as_Publish()->partition() == 3);
    }
}

TEST_CASE("every head is a multiple of 8 long, whatever its content asks for") {
    for (std::uint64_t id : {0ull, 1ull, ~0ull})
        for (std::size_t length = 0; length < 20; ++length) {
            flatbuffers::FlatBufferBuilder builder;
            byte_string bytes(3);  // not aligned either
            append_frame(builder, id, wire::CreateGoodbye(builder, 0, builder.CreateString(std::string(length, 'x'))), 0, bytes);
            CHECK(builder.GetSize() == 0);
            const auto out = feeding::feed_at_once(std::span(bytes).subspan(3));
            CHECK(out.frames.size() == 1);
        }
}

TEST_CASE("the rest of a known frame is asked for at once, and nothing beyond it") {
    const auto bytes = publish(1u << 20);
    frame_decoder decoder(limits::frame_bytes);
    decoder.append(std::span(bytes).first(100));
    frame out;
    REQUIRE(decoder.next(out) == status::need_more);
    const auto rest = decoder.prepare(64);
    REQUIRE(rest.size() == bytes.size() - 100);
    std::ranges::copy(std::span(bytes).subspan(100), rest.begin());
    decoder.commit(rest.size());
    REQUIRE(decoder.next(out) == status::frame);
    CHECK(out.body.size() == 1u << 20);

    // The buffer has room for more than the next frame now: still no byte of the one after it is read, and nothing is moved.
    const auto smaller = publish(1u << 19);
    decoder.append(std::span(smaller).first(100));
    const auto again = decoder.prepare(64);
    CHECK(again.size() == smaller.size() - 100);
    CHECK(again.data() == rest.data());  // 100 bytes behind the buffer's start, as before
    CHECK(decoder.capacity_bytes() < bytes.size() + 8192);

    // Nor when what it lacks is less than is wanted at a time; of a frame that is smaller than that, more is read with it.
    std::ranges::copy(std::span(smaller).subspan(100), again.begin());
    decoder.commit(again.size() - 8);
    CHECK(decoder.prepare(64).size() == 8);
    decoder.commit(8);
    REQUIRE(decoder.next(out) == status::frame);
    const auto small = publish(64);
    decoder.append(std::span(small).first(small.size() - 8));
    CHECK(decoder.prepare(small.size()).size() > small.size());
}

TEST_CASE("the buffer grows to the largest frame under way and no further") {
    constexpr std::size_t limit = 1u << 20;
    const auto small = all_frames();
    frame_decoder decoder(limit);
    CHECK(decoder.capacity_bytes() == 0);
    CHECK(feed(decoder, small, [] { return 1000; }, 4096).capacity_max <= 3 * 4096);

    byte_string stream;
    for (int i = 0; i < 5; ++i) {
        const auto large = publish(limit - 1024);
        stream.insert(stream.end(), small.begin(), small.end());
        stream.insert(stream.end(), large.begin(), large.end());
    }
    const auto out = feed(decoder, stream, [] { return 60'000; }, 65'536);
    CHECK(out.frames.size() == 5 * (samples::frames().size() + 1));
    CHECK(out.capacity_max <= limit + frame_prefix_bytes + 65'536);
}

TEST_CASE("a buffer that doubles for a larger frame stays within the limit") {
    constexpr std::size_t limit = 1u << 20;
    frame_decoder decoder(limit);
    byte_string stream;
    for (const auto size : {limit / 8 * 5, limit / 8 * 7}) {
        const auto frame = publish(size);
        stream.insert(stream.end(), frame.begin(), frame.end());
    }
    const auto out = feed(decoder, stream, [] { return 4'096; }, 4'096);
    CHECK(out.frames.size() == 2);
    CHECK(out.capacity_max >= limit / 8 * 7);
    CHECK(out.capacity_max <= limit + frame_prefix_bytes);
}

TEST_CASE("idle memory is given back, and only then") {
    const auto bytes = publish(10'000);
    frame_decoder decoder(limits::frame_bytes);
    decoder.append(std::span(bytes).first(10));
    decoder.release_idle_memory();
    CHECK(decoder.buffered_bytes() == 10);
    CHECK(decoder.capacity_bytes() > 0);

    decoder.append(std::span(bytes).subspan(10));
    frame out;
    REQUIRE(decoder.next(out) == status::frame);
    CHECK(decoder.buffered_bytes() == 0);
    decoder.release_idle_memory();
    CHECK(decoder.capacity_bytes() == 0);

    decoder.append(bytes);
    CHECK(decoder.next(out) == status::frame);
}

}  // namespace millrace::proto
