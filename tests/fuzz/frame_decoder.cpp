// A byte stream from a stranger, cut into frames. The first two bytes say how large a frame may be and in what pieces the stream arrives.
#include <algorithm>

#include "millrace/message.hpp"
#include "proto/frame.hpp"
#include "proto/little_endian.hpp"
#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {
namespace {

using status = proto::frame_decoder::status;

struct outcome {
    std::size_t frames = 0;
    std::size_t taken = 0;  // bytes of the stream that became frames
    error failure;

    bool operator==(const outcome&) const = default;
};

/// What is handed out are the bytes that came, unchanged, aligned, and as long as they said.
void look_at(const proto::frame& f, std::span<const std::byte> bytes) {
    must(std::equal(f.body.begin(), f.body.end(), bytes.end() - static_cast<std::ptrdiff_t>(f.body.size())), "a body is the end of its frame");
    must(reinterpret_cast<std::uintptr_t>(f.body.data()) % 8 == 0, "a body is aligned");
    must(proto::load<std::uint32_t>(bytes.data()) + proto::frame_prefix_bytes == bytes.size(), "a frame is as long as it says");
    must(f.head->message() != nullptr && f.head->message_type() != wire::Message::NONE, "a frame holds a message");
}

/// `pieces`: a seed for how much the socket has each time; 0: all of it.
outcome decode(std::span<const std::byte> stream, std::size_t frame_bytes_max, std::size_t at_least, std::uint32_t pieces) {
    proto::frame_decoder decoder(frame_bytes_max);
    outcome seen;
    auto left = stream;
    auto last = status::need_more;
    while (!left.empty() && last != status::failed) {
        if (pieces != 0) pieces = pieces * 1664525u + 1013904223u;
        auto size = std::min(left.size(), pieces == 0 ? left.size() : std::size_t{1} + (pieces >> 24));
        if (size <= at_least && (pieces >> 23) % 2 == 1) {
            decoder.append(left.first(size));
        } else {
            const auto room = decoder.prepare(at_least);
            must(!room.empty(), "there is room for what comes next");
            size = std::min(size, room.size());
            std::ranges::copy(left.first(size), room.begin());
            decoder.commit(size);
        }
        left = left.subspan(size);
        must(decoder.capacity_bytes() <= std::max<std::size_t>(4096, proto::frame_prefix_bytes + frame_bytes_max + at_least), "the buffer has a limit");
        for (proto::frame f;;) {
            const auto before = decoder.buffered_bytes();
            last = decoder.next(f);
            if (last != status::frame) break;
            const auto bytes = before - decoder.buffered_bytes();
            look_at(f, stream.subspan(seen.taken, bytes));
            must(bytes <= proto::frame_prefix_bytes + frame_bytes_max, "no frame is larger than the limit");
            seen.taken += bytes;
            ++seen.frames;
        }
    }
    seen.failure = decoder.failure();
    proto::frame f;
    must(!seen.failure || decoder.next(f) == status::failed, "the first error is final");
    must(seen.failure ? !seen.failure.what.empty() : decoder.buffered_bytes() == stream.size() - seen.taken, "no byte is lost");
    return seen;
}

}  // namespace

void frame_decoder(input in) {
    choices c(in);
    const auto kind = c.byte();
    const auto pieces = c.byte();
    const std::size_t limit = kind < 200 ? 64u << 10 : kind < 254 ? 512 : limits::frame_bytes;  // before the hello, tight, and behind it
    const auto stream = bytes_of(c.rest());
    const auto whole = decode(stream, limit, std::max<std::size_t>(stream.size(), 1), 0);
    const auto cut = decode(stream, limit, 1 + pieces % 64, pieces * 7919u + 1);
    must(whole == cut, "a stream means the same in whatever pieces it arrives", whole.failure ? whole.failure : cut.failure);
}

}  // namespace millrace::fuzz

MILLRACE_FUZZ_TARGET(frame_decoder)
