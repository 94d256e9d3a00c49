#include "proto/frame.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>

#include "proto/little_endian.hpp"

namespace millrace::proto {
namespace {

// Root offset, identifier, a Frame with a message, an empty message and the vtables: shorter ones are no Frame.
constexpr std::size_t head_bytes_min = 32;

// Less is not worth an allocation.
constexpr std::size_t buffer_bytes_min = 4096;

struct prefix {
    std::size_t length = 0;
    std::size_t head = 0;

    std::size_t frame_bytes() const noexcept { return frame_prefix_bytes + length; }
};

prefix read_prefix(const std::byte* bytes) noexcept { return {load<std::uint32_t>(bytes), load<std::uint32_t>(bytes + 4)}; }

error check_prefix(const prefix& p, std::size_t frame_bytes_max) {
    const auto length = std::to_string(p.length);
    if (p.length > frame_bytes_max)
        return {errc::frame_too_large, "a frame says it is " + length + " bytes long, the limit is " + std::to_string(frame_bytes_max) +
                                           "; send smaller batches, or speak this protocol"};
    if (p.length % 8 != 0) return {errc::malformed_frame, "a frame says it is " + length + " bytes long, which is not a multiple of 8"};
    if (p.head % 8 != 0 || p.head < head_bytes_min || p.head > p.length)
        return {errc::malformed_frame, "a frame of " + length + " bytes says its head is " + std::to_string(p.head) + " bytes long; a head is a multiple of 8 from " +
                                           std::to_string(head_bytes_min) + " to the frame's length"};
    return {};
}

bool takes_body(wire::Message kind) noexcept {
    return kind == wire::Message::Publish || kind == wire::Message::Deliver || kind == wire::Message::Peeked;
}

bool flatbuffer_holds(const std::byte* head, std::size_t size) {
    flatbuffers::Verifier::Options options;
    options.max_depth = 8;
    // A table costs its sender 8 bytes with the offset to it. More tables than that is one table named again and again to keep us busy.
    options.max_tables = static_cast<flatbuffers::uoffset_t>(size / 8);
    flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(head), size, options);
    return wire::VerifyFrameBuffer(verifier);
}

// A kind this side does not know is no error here: its receiver answers unknown_request.
error check_content(const std::byte* head, const prefix& p) {
    if (!flatbuffer_holds(head, p.head))
        return {errc::malformed_frame, "the " + std::to_string(p.head) + " bytes of a frame's head are not a flatbuffer 'MLR1'; speak this protocol, version " +
                                           std::to_string(protocol_version)};
    const auto kind = wire::GetFrame(head)->message_type();
    if (kind == wire::Message::NONE) return {errc::malformed_frame, "a frame says it holds no message"};
    if (p.length > p.head && !takes_body(kind))
        return {errc::malformed_frame, "a frame has a body of " + std::to_string(p.length - p.head) + " bytes behind a message of kind " +
                                           std::to_string(static_cast<unsigned>(kind)) + ", which has none"};
    return {};
}

}  // namespace

frame_decoder::frame_decoder(std::size_t frame_bytes_max) : frame_bytes_max_(frame_bytes_max) {
    assert(frame_bytes_max <= UINT32_MAX);
}

void frame_decoder::accept_frames_up_to(std::size_t frame_bytes_max) {
    assert(frame_bytes_max <= UINT32_MAX);
    frame_bytes_max_ = frame_bytes_max;
}

std::size_t frame_decoder::frame_rest() const noexcept {
    if (buffered_bytes() < frame_prefix_bytes) return 0;
    const auto whole = read_prefix(buffer_.get() + begin_);
    // Room is made only for what next() would take.
    if (check_prefix(whole, frame_bytes_max_)) return 0;
    return whole.frame_bytes() - std::min(whole.frame_bytes(), buffered_bytes());
}

void frame_decoder::make_room(std::size_t wanted) {
    if (capacity_ - end_ >= wanted) return;
    const std::size_t kept = buffered_bytes();
    if (capacity_ - kept >= wanted) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, kept);
    } else {
        const std::size_t grown = std::max({kept + wanted, std::min(2 * capacity_, frame_prefix_bytes + frame_bytes_max_), buffer_bytes_min});
        auto larger = std::make_unique_for_overwrite<std::byte[]>(grown);
        if (kept > 0) std::memcpy(larger.get(), buffer_.get() + begin_, kept);
        buffer_ = std::move(larger);
        capacity_ = grown;
    }
    begin_ = 0;
    end_ = kept;
}

void frame_decoder::forget_taken() noexcept {
    if (begin_ == end_ || failure_) begin_ = end_ = 0;
}

std::span<std::byte> frame_decoder::prepare(std::size_t at_least) {
    forget_taken();
    const std::size_t rest = frame_rest();
    const bool is_large = rest > 0 && buffered_bytes() + rest > at_least;
    make_room(is_large ? rest : std::max(at_least, std::size_t{1}));  // a smaller frame's rest is in it
    // Reading to the very end of a large frame lets the next one begin at the buffer's start, where nothing of it is ever moved.
    const std::size_t offered = is_large ? rest : capacity_ - end_;
    return {buffer_.get() + end_, offered};
}

void frame_decoder::commit(std::size_t n) {
    assert(n <= capacity_ - end_);
    end_ += n;
}

void frame_decoder::append(std::span<const std::byte> bytes) {
    forget_taken();
    make_room(std::max(bytes.size(), frame_rest()));
    if (!bytes.empty()) std::memcpy(buffer_.get() + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
}

frame_decoder::status frame_decoder::next(frame& out) {
    if (failure_) return status::failed;
    if (buffered_bytes() < frame_prefix_bytes) return status::need_more;
    const std::byte* at = buffer_.get() + begin_;
    const auto whole = read_prefix(at);
    failure_ = check_prefix(whole, frame_bytes_max_);
    if (failure_) return status::failed;
    if (buffered_bytes() < whole.frame_bytes()) return status::need_more;

    const std::byte* head = at + frame_prefix_bytes;
    failure_ = check_content(head, whole);
    if (failure_) return status::failed;
    out = {wire::GetFrame(head), {head + whole.head, whole.length - whole.head}};
    begin_ += whole.frame_bytes();  // lengths are multiples of 8, so every frame and body stays aligned
    return status::frame;
}

std::size_t frame_decoder::buffered_bytes() const noexcept { return end_ - begin_; }

std::size_t frame_decoder::capacity_bytes() const noexcept { return capacity_; }

void frame_decoder::release_idle_memory() {
    if (buffered_bytes() > 0) return;
    buffer_.reset();
    capacity_ = begin_ = end_ = 0;
}

void detail::append_frame(flatbuffers::FlatBufferBuilder& builder, std::uint64_t id, wire::Message kind, flatbuffers::Offset<void> message,
                          std::size_t body_bytes, std::vector<std::byte>& out) {
    assert(kind != wire::Message::NONE && !message.IsNull());
    assert(body_bytes % 8 == 0 && (body_bytes == 0 || takes_body(kind)));
    builder.ForceVectorAlignment(8, 1, 8);  // a head is a multiple of 8 long, so that its body is aligned
    wire::FinishFrameBuffer(builder, wire::CreateFrame(builder, id, kind, message));

    const std::size_t head = builder.GetSize();
    assert(head % 8 == 0 && head >= head_bytes_min && head + body_bytes <= UINT32_MAX);
    std::byte bytes[frame_prefix_bytes];
    store(bytes, static_cast<std::uint32_t>(head + body_bytes));
    store(bytes + 4, static_cast<std::uint32_t>(head));
    out.insert(out.end(), bytes, bytes + frame_prefix_bytes);
    const auto* flatbuffer = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
    out.insert(out.end(), flatbuffer, flatbuffer + head);
    builder.Clear();
}

}  // namespace millrace::proto
