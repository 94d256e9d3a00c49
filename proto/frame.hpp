// The frame: the unit of the wire. Format: FORMAT.md §3.
//
//   u32 length (bytes after these 8) · u32 head (bytes of flatbuffer, a multiple of 8) · flatbuffer Frame · body (length - head bytes)
//
// The body is records end to end for Publish, Deliver and Peeked, and empty for everything else, so that payload goes from the
// store to the socket without being copied into a flatbuffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "millrace/error.hpp"
#include "wire_generated.h"

namespace millrace::proto {

inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::size_t frame_prefix_bytes = 8;

/// A verified frame. Points into the decoder's buffer: valid until the next call of the decoder.
struct frame {
    const wire::Frame* head = nullptr;
    std::span<const std::byte> body;
};

/// Cuts a byte stream into verified frames. Holds one buffer that grows to the largest frame under way and no further than the limit allows.
/// The first error is final: the stream cannot be trusted any more. Not thread-safe.
class frame_decoder {
public:
    explicit frame_decoder(std::size_t frame_bytes_max);

    /// Where to read the next bytes into: never empty; the rest of the frame under way when that is known, else at least `at_least` bytes.
    /// A frame longer than `at_least` is read to its end and not beyond, so that nothing of the next one need be moved.
    /// Call it when next() needs more: frames that were not taken yet are kept, in a buffer that grows for them. Invalidates frames handed out before.
    std::span<std::byte> prepare(std::size_t at_least);

    /// `n` bytes were written at the start of what prepare() returned.
    void commit(std::size_t n);

    /// Bytes that were read elsewhere, as many as there are: they may reach beyond the frame under way. Invalidates frames handed out before.
    void append(std::span<const std::byte> bytes);

    enum class status { frame, need_more, failed };

    /// The next frame, if a whole one is there. `out` is set with status::frame, error() with status::failed:
    /// frame_too_large, malformed_frame (short head, bad flatbuffer, a body where none may be).
    /// A kind of message that this side does not know is handed out like any other, for its receiver to answer unknown_request.
    status next(frame& out);

    const error& failure() const noexcept { return failure_; }

    /// From the next frame on: another limit, as for a peer that has said who it is.
    void accept_frames_up_to(std::size_t frame_bytes_max);

    /// Bytes held for frames not yet handed out, and the memory of the buffer.
    std::size_t buffered_bytes() const noexcept;
    std::size_t capacity_bytes() const noexcept;

    /// Gives the buffer's memory back when nothing is buffered (an idle connection costs no read buffer).
    void release_idle_memory();

private:
    std::size_t frame_rest() const noexcept;  // bytes that the frame under way still lacks; 0 while that is not known
    void forget_taken() noexcept;             // begins at the buffer's start again when all of it was handed out
    void make_room(std::size_t wanted);       // behind end_

    std::size_t frame_bytes_max_;
    std::unique_ptr<std::byte[]> buffer_;  // aligned to 8 by operator new
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;  // first byte not handed out
    std::size_t end_ = 0;    // one past the last byte received
    error failure_;
};

/// Finishes `builder` with `message` as a frame, and writes prefix and flatbuffer to the end of `out`; a body of `body_bytes` (a multiple of 8)
/// must follow on the wire. Clears the builder.
template <class Table>
void append_frame(flatbuffers::FlatBufferBuilder& builder, std::uint64_t id, flatbuffers::Offset<Table> message, std::size_t body_bytes,
                  std::vector<std::byte>& out);

namespace detail {
void append_frame(flatbuffers::FlatBufferBuilder& builder, std::uint64_t id, wire::Message kind, flatbuffers::Offset<void> message,
                  std::size_t body_bytes, std::vector<std::byte>& out);
}

template <class Table>
void append_frame(flatbuffers::FlatBufferBuilder& builder, std::uint64_t id, flatbuffers::Offset<Table> message, std::size_t body_bytes,
                  std::vector<std::byte>& out) {
    detail::append_frame(builder, id, wire::MessageTraits<Table>::enum_value, message.Union(), body_bytes, out);
}

}  // namespace millrace::proto
