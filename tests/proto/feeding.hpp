// Feeds bytes to a frame decoder as a socket would, and keeps what comes out.
#pragma once

#include <algorithm>
#include <functional>
#include <span>

#include <flatbuffers/minireflect.h>

#include "samples.hpp"

namespace millrace::proto::feeding {

using samples::byte_string;

struct taken_frame {
    std::string head;  // in words
    byte_string body;

    bool operator==(const taken_frame&) const = default;
};

inline taken_frame taken(const frame& from) {
    flatbuffers::ToStringVisitor words(" ", false, "", true);
    flatbuffers::IterateObject(reinterpret_cast<const std::uint8_t*>(from.head), wire::FrameTypeTable(), &words);
    return {words.s, {from.body.begin(), from.body.end()}};
}

struct outcome {
    std::vector<taken_frame> frames;
    error failure;
    std::size_t capacity_max = 0;

    bool operator==(const outcome& other) const { return frames == other.frames && failure == other.failure; }
};

/// `next_size` says how many bytes the socket has each time.
inline outcome feed(frame_decoder& decoder, std::span<const std::byte> bytes, const std::function<std::size_t()>& next_size, std::size_t at_least = 64) {
    outcome out;
    auto status = frame_decoder::status::need_more;
    while (!bytes.empty() && status != frame_decoder::status::failed) {
        const auto room = decoder.prepare(at_least);
        const auto size = std::min({next_size(), room.size(), bytes.size()});
        std::ranges::copy(bytes.first(size), room.begin());
        decoder.commit(size);
        bytes = bytes.subspan(size);
        out.capacity_max = std::max(out.capacity_max, decoder.capacity_bytes());
        frame next;
        while ((status = decoder.next(next)) == frame_decoder::status::frame) out.frames.push_back(taken(next));
    }
    out.failure = decoder.failure();
    return out;
}

inline outcome feed_at_once(std::span<const std::byte> bytes, std::size_t frame_bytes_max = limits::frame_bytes) {
    frame_decoder decoder(frame_bytes_max);
    return feed(decoder, bytes, [&] { return bytes.size(); }, bytes.size());
}

}  // namespace millrace::proto::feeding
