#include "proto/record.hpp"

#include <cassert>
#include <cstring>
#include <utility>

#include <flatbuffers/flatbuffers.h>

#include "proto/compression.hpp"
#include "proto/crc32c.hpp"
#include "proto/little_endian.hpp"
#include "proto/plain_record.hpp"
#include "record_generated.h"

namespace millrace::proto {
namespace {

using flatbuffers::Offset;

std::uint32_t checksum_of(const std::byte* record, std::uint32_t length) noexcept {
    return crc32c(crc32c(0, record, 4), record + record_header_bytes, length - record_header_bytes);
}

std::uint32_t stored_checksum(const std::byte* record) noexcept { return load<std::uint32_t>(record + 4); }

template <class Vector>
std::size_t size_of(const Vector* vector) noexcept {
    return vector == nullptr ? 0 : vector->size();
}

// ---- encoding ----

error too_large(std::size_t bytes) {
    return {errc::message_too_large, "a message of " + std::to_string(bytes) + " bytes is over the limit of " +
                                         std::to_string(limits::message_bytes) + "; store its content elsewhere and send a reference"};
}

std::size_t content_bytes(const message& m) noexcept {
    std::size_t bytes = m.key.size() + m.payload.size();
    for (const auto& h : m.headers) bytes += h.name.size() + h.value.size();
    return bytes;
}

error check_message(const message& m) {
    if (m.headers.size() > limits::headers)
        return {errc::too_many_headers, "a message has " + std::to_string(m.headers.size()) + " headers, the limit is " +
                                            std::to_string(limits::headers) + "; put the rest into its payload"};
    for (std::size_t i = 0; i < m.headers.size(); ++i)
        if (m.headers[i].name.empty()) return {errc::invalid_argument, "header " + std::to_string(i) + " has an empty name; name it or leave it out"};
    if (const auto bytes = content_bytes(m); bytes > limits::message_bytes) return too_large(bytes);
    return {};
}

using byte_vector = flatbuffers::Vector<std::uint8_t>;

Offset<byte_vector> bytes_unless_empty(flatbuffers::FlatBufferBuilder& builder, const void* data, std::size_t size) {
    return size == 0 ? Offset<byte_vector>{} : builder.CreateVector(static_cast<const std::uint8_t*>(data), size);
}

std::size_t record_bytes(const flatbuffers::FlatBufferBuilder& builder) noexcept { return record_header_bytes + builder.GetSize(); }

// The record of `length` bytes: its header and `front`, which is the `front_bytes` after it, then `rest`, then zeros.
void append_sealed(std::size_t length, std::byte* header, std::size_t front_bytes, std::span<const std::byte> rest, std::vector<std::byte>& out) {
    assert(length % record_alignment == 0 && length >= record_bytes_min);
    const auto at = out.size();
    store(header, static_cast<std::uint32_t>(length));
    out.insert(out.end(), header, header + record_header_bytes + front_bytes);
    out.insert(out.end(), rest.begin(), rest.end());
    out.resize(at + length);
    store(out.data() + at + 4, checksum_of(out.data() + at, static_cast<std::uint32_t>(length)));
}

void append_sealed(const flatbuffers::FlatBufferBuilder& builder, std::vector<std::byte>& out) {
    std::byte header[record_header_bytes]{};
    append_sealed(record_bytes(builder), header, 0, std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize())), out);
}

error append_plain(const std::string& payload, std::vector<std::byte>& out) {
    const auto length = record_header_bytes + plain_flatbuffer_bytes(payload.size());
    if (length > limits::message_bytes) return too_large(length);
    std::byte front[record_header_bytes + plain_front_bytes_max]{};
    append_sealed(length, front, write_plain_front(payload.size(), front + record_header_bytes), std::as_bytes(std::span(payload)), out);
    return {};
}

}  // namespace

struct record_encoder::state {
    flatbuffers::FlatBufferBuilder builder;
    std::vector<Offset<wire::Header>> headers;
    compressor payloads;

    void build(const message& m, compression method, std::span<const std::byte> compressed);
    Offset<flatbuffers::Vector<Offset<wire::Header>>> build_headers(const message& m);
};

void record_encoder::state::build(const message& m, compression method, std::span<const std::byte> compressed) {
    builder.Clear();
    // Makes the finished flatbuffer a multiple of 8 long, so that nothing need follow it.
    builder.ForceVectorAlignment(record_alignment, 1, record_alignment);
    const bool plain = compressed.empty();
    const auto payload = plain ? bytes_unless_empty(builder, m.payload.data(), m.payload.size())
                               : bytes_unless_empty(builder, compressed.data(), compressed.size());
    const auto headers_at = build_headers(m);
    const auto key = bytes_unless_empty(builder, m.key.data(), m.key.size());
    wire::FinishRecordBuffer(builder, wire::CreateRecord(builder, key, headers_at, payload,
                                                         plain ? wire::Compression::none : static_cast<wire::Compression>(method),
                                                         plain ? 0 : static_cast<std::uint32_t>(m.payload.size())));
}

Offset<flatbuffers::Vector<Offset<wire::Header>>> record_encoder::state::build_headers(const message& m) {
    if (m.headers.empty()) return {};
    headers.clear();
    for (const auto& h : m.headers) {
        const auto value = bytes_unless_empty(builder, h.value.data(), h.value.size());
        headers.push_back(wire::CreateHeader(builder, builder.CreateString(h.name), value));
    }
    return builder.CreateVector(headers);
}

record_encoder::record_encoder() : state_(std::make_unique<state>()) {}
record_encoder::~record_encoder() = default;
record_encoder::record_encoder(record_encoder&&) noexcept = default;
record_encoder& record_encoder::operator=(record_encoder&&) noexcept = default;

error record_encoder::append(const message& m, compression method, std::vector<std::byte>& out) {
    assert(state_ && "a record_encoder that was moved from");
    assert(out.size() % record_alignment == 0);
    if (auto refused = check_message(m)) return refused;
    const auto compressed = state_->payloads.compress(method, m.payload);
    if (compressed.empty() && is_plain(m)) return append_plain(m.payload, out);
    state_->build(m, method, compressed);
    if (const auto length = record_bytes(state_->builder); length > limits::message_bytes) return too_large(length);
    append_sealed(state_->builder, out);
    return {};
}

// ---- verifying ----

namespace {

error refuse(errc code, std::size_t index, const std::string& what) {
    return {code, "record " + std::to_string(index) + " " + what};
}

// Records are read in place, which needs the alignment that frames and entries have; bytes from elsewhere are moved to where they have it.
class aligned_bytes {
public:
    explicit aligned_bytes(std::span<const std::byte> bytes) : bytes_(bytes) {
        if (reinterpret_cast<std::uintptr_t>(bytes.data()) % record_alignment == 0) return;
        copy_ = std::make_unique_for_overwrite<std::byte[]>(bytes.size());
        std::memcpy(copy_.get(), bytes.data(), bytes.size());
        bytes_ = {copy_.get(), bytes.size()};
    }
    std::span<const std::byte> get() const noexcept { return bytes_; }

private:
    std::span<const std::byte> bytes_;
    std::unique_ptr<std::byte[]> copy_;
};

error too_long(std::size_t length, std::size_t index) {
    return refuse(errc::message_too_large, index, "says it is " + std::to_string(length) + " bytes long, the limit is " + std::to_string(limits::message_bytes) +
                                                      "; send a reference to its content instead");
}

error check_length(std::span<const std::byte> bytes, std::size_t index, std::size_t length_max) {
    if (bytes.size() < record_bytes_min)
        return refuse(errc::malformed_record, index, "has " + std::to_string(bytes.size()) + " bytes left to it, the least is " + std::to_string(record_bytes_min));
    const auto length = load<std::uint32_t>(bytes.data());
    if (length > length_max) return too_long(length, index);
    if (length < record_bytes_min || length % record_alignment != 0)
        return refuse(errc::malformed_record, index, "says it is " + std::to_string(length) + " bytes long, which is not a multiple of 8 from " +
                                                         std::to_string(record_bytes_min) + " on");
    if (length > bytes.size())
        return refuse(errc::malformed_record, index, "says it is " + std::to_string(length) + " bytes long, but only " + std::to_string(bytes.size()) + " are there");
    return {};
}

error check_checksum(const std::byte* record, std::uint32_t length, std::size_t index) {
    const auto computed = checksum_of(record, length);
    if (computed == stored_checksum(record)) return {};
    return refuse(errc::checksum_mismatch, index, "of " + std::to_string(length) + " bytes carries the CRC-32C " + std::to_string(stored_checksum(record)) +
                                                      " but has " + std::to_string(computed) + "; it was damaged on the way, send it again");
}

bool flatbuffer_holds(std::span<const std::byte> flatbuffer, std::size_t tables_max) {
    flatbuffers::Verifier::Options options;
    options.max_depth = 2;  // a Record and its Headers or its Origin
    options.max_tables = static_cast<flatbuffers::uoffset_t>(tables_max);
    flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(flatbuffer.data()), flatbuffer.size(), options);
    return wire::VerifyRecordBuffer(verifier);
}

error check_flatbuffer(std::span<const std::byte> flatbuffer, std::size_t index) {
    if (flatbuffer_holds(flatbuffer, 1 + limits::headers)) return {};
    // Only a record that is refused anyway is looked at again, to tell too many headers from nonsense; an honest header takes 8 bytes.
    if (!flatbuffer_holds(flatbuffer, flatbuffer.size() / 8))
        return refuse(errc::malformed_record, index, "has a valid checksum but is not a flatbuffer of a Record; check the producer's encoder");
    const auto headers = size_of(wire::GetRecord(flatbuffer.data())->headers());
    if (headers <= limits::headers) return {};  // the table too many is an Origin: what has both is refused for that
    return refuse(errc::too_many_headers, index, "has " + std::to_string(headers) + " headers, the limit is " + std::to_string(limits::headers));
}

std::size_t payload_bytes(const wire::Record& record) noexcept {
    return record.compression() == wire::Compression::none ? size_of(record.payload()) : record.payload_size();
}

// A flatbuffer may name the same bytes many times; the sum keeps a small record from becoming a large message.
error check_content(const wire::Record& record, std::size_t index) {
    std::size_t bytes = size_of(record.key()) + payload_bytes(record);
    for (std::size_t i = 0; i < size_of(record.headers()); ++i) {
        const auto* header = record.headers()->Get(static_cast<flatbuffers::uoffset_t>(i));
        if (header->name()->size() == 0) return refuse(errc::malformed_record, index, "has an empty name at header " + std::to_string(i));
        bytes += header->name()->size() + size_of(header->value());
    }
    if (bytes <= limits::message_bytes) return {};
    return refuse(errc::message_too_large, index, "holds a message of " + std::to_string(bytes) + " bytes, the limit is " + std::to_string(limits::message_bytes) +
                                                      "; send a reference to its content instead");
}

const wire::Record& record_at(const std::byte* record) noexcept { return *wire::GetRecord(record + record_header_bytes); }

bool is_envelope(const wire::Record& record) noexcept { return record.origin() != nullptr || record.wrapped() != nullptr; }

// Length and checksum of the first record of `bytes`. What costs least and catches most comes first.
error check_seal(std::span<const std::byte> bytes, std::size_t index, std::size_t length_max) {
    if (auto refused = check_length(bytes, index, length_max)) return refused;
    return check_checksum(bytes.data(), load<std::uint32_t>(bytes.data()), index);
}

// Of a record whose seal holds.
std::span<const std::byte> flatbuffer_of(std::span<const std::byte> bytes) noexcept {
    return bytes.subspan(record_header_bytes, load<std::uint32_t>(bytes.data()) - record_header_bytes);
}

error check_published(std::span<const std::byte> bytes, std::size_t index) {
    if (auto refused = check_seal(bytes, index, limits::message_bytes)) return refused;
    if (plain_payload(flatbuffer_of(bytes))) return {};
    if (auto refused = check_flatbuffer(flatbuffer_of(bytes), index)) return refused;
    const auto& record = record_at(bytes.data());
    if (is_envelope(record))
        return refuse(errc::malformed_record, index, "is a forged envelope: only a broker gives a message an origin or wraps it; publish the message itself");
    return check_content(record, index);
}

error check_records(std::span<const std::byte> bytes, std::uint32_t count, std::uint32_t base, std::vector<std::uint32_t>& ends) {
    std::size_t at = 0;
    for (std::uint32_t index = 0; index < count; ++index) {
        if (auto refused = check_published(bytes.subspan(at), index)) return refused;
        at += load<std::uint32_t>(bytes.data() + at);
        ends.push_back(base + static_cast<std::uint32_t>(at));
    }
    if (at == bytes.size()) return {};
    return {errc::malformed_record, std::to_string(bytes.size() - at) + " bytes follow the " + std::to_string(count) + " records that were announced"};
}

}  // namespace

error verify_records(std::span<const std::byte> bytes, std::uint32_t count, std::uint32_t base, std::vector<std::uint32_t>& ends) {
    assert(bytes.size() <= UINT32_MAX - base);
    const auto before = ends.size();
    const aligned_bytes aligned(bytes);
    auto refused = check_records(aligned.get(), count, base, ends);
    if (refused) ends.resize(before);
    return refused;
}

error verify_checksums(std::span<const std::byte> bytes) {
    for (std::size_t index = 0; !bytes.empty(); ++index) {
        const auto length = record_length(bytes);
        assert(length && "verify_checksums() takes whole records");
        if (auto refused = check_checksum(bytes.data(), *length, index)) return refused;
        bytes = bytes.subspan(*length);
    }
    return {};
}

std::uint32_t batch_checksum(std::span<const std::byte> bytes) {
    std::uint32_t checksum = 0;
    while (!bytes.empty()) {
        const auto length = record_length(bytes);
        assert(length && "batch_checksum() takes verified records");
        checksum = crc32c(checksum, bytes.data() + 4, 4);
        bytes = bytes.subspan(*length);
    }
    return checksum;
}

std::optional<std::uint32_t> record_length(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < record_bytes_min) return std::nullopt;
    const auto length = load<std::uint32_t>(bytes.data());
    if (length < record_bytes_min || length % record_alignment != 0 || length > bytes.size()) return std::nullopt;
    return length;
}

// ---- envelopes ----

namespace {

// What an envelope adds besides names and reason: two tables and their vtables, numbers, lengths, padding and the record's header.
constexpr std::size_t envelope_frame_bytes_max = 256;
static_assert(envelope_depth_max * (origin_bytes_max + envelope_frame_bytes_max) <= envelope_bytes_max,
              "a message of the largest size can be wrapped envelope_depth_max times");

constexpr std::size_t layer_bytes_max = limits::message_bytes + envelope_bytes_max;

// A record seen through its envelopes.
struct opened_record {
    std::optional<std::string_view> plain;   // the payload of a message that has nothing else, or
    const wire::Record* message = nullptr;   // the message
    const wire::Origin* died = nullptr;  // of the outermost envelope; null without one
    std::size_t envelopes = 0;
};

error check_origin_bytes(std::size_t bytes) {
    if (bytes <= origin_bytes_max) return {};
    return {errc::message_too_large, "the origin of a dead letter has " + std::to_string(bytes) + " bytes of names and reason, the limit is " +
                                         std::to_string(origin_bytes_max) + "; cut the reason"};
}

error wrapped_too_often() {
    return {errc::message_too_large, "a message is wrapped in at most " + std::to_string(envelope_depth_max) +
                                         " envelopes; redrive it to its origin instead of letting it die further"};
}

std::span<const std::byte> wrapped_record(const wire::Record& envelope) {
    return std::as_bytes(std::span(envelope.wrapped()->Data(), envelope.wrapped()->size()));
}

error check_envelope(const wire::Record& envelope) {
    if (envelope.origin() == nullptr || envelope.wrapped() == nullptr)
        return refuse(errc::malformed_record, 0, std::string("is an envelope without ") + (envelope.origin() == nullptr ? "an origin" : "a wrapped record"));
    if (size_of(envelope.key()) + size_of(envelope.headers()) + size_of(envelope.payload()) > 0 || envelope.compression() != wire::Compression::none)
        return refuse(errc::malformed_record, 0, "is an envelope with a key, headers or a payload of its own");
    if (reinterpret_cast<std::uintptr_t>(envelope.wrapped()->Data()) % record_alignment != 0)
        return refuse(errc::malformed_record, 0, "is an envelope whose wrapped record is not aligned to " + std::to_string(record_alignment) + " bytes");
    const auto& origin = *envelope.origin();
    return check_origin_bytes(std::size_t{origin.topic()->size()} + origin.subscription()->size() + size_of(origin.reason()));
}

// One record that fills `bytes`, aligned, without what it may wrap. `plain`: its payload, if that is all it has.
error check_layer(std::span<const std::byte> bytes, std::optional<std::string_view>& plain) {
    if (auto refused = check_seal(bytes, 0, layer_bytes_max)) return refused;
    plain = plain_payload(flatbuffer_of(bytes));
    if (!plain)
        if (auto refused = check_flatbuffer(flatbuffer_of(bytes), 0)) return refused;
    const auto length = load<std::uint32_t>(bytes.data());
    if (length != bytes.size()) return {errc::malformed_record, std::to_string(bytes.size() - length) + " bytes follow the one record to decode"};
    if (!plain && is_envelope(record_at(bytes.data()))) return check_envelope(record_at(bytes.data()));
    if (length > limits::message_bytes) return too_long(length, 0);
    return plain ? error{} : check_content(record_at(bytes.data()), 0);
}

// From the outside in: a layer is looked at when everything around it holds.
error open_record(std::span<const std::byte> bytes, opened_record& out) {
    for (;;) {
        if (auto refused = check_layer(bytes, out.plain)) {
            if (out.envelopes > 0) refused.what = "inside envelope " + std::to_string(out.envelopes) + ", " + refused.what;
            return refused;
        }
        if (out.plain) return {};
        const auto& record = record_at(bytes.data());
        if (!is_envelope(record)) {
            out.message = &record;
            return {};
        }
        if (out.envelopes == envelope_depth_max) return wrapped_too_often();
        if (out.envelopes == 0) out.died = record.origin();
        ++out.envelopes;
        bytes = wrapped_record(record);
    }
}

void build_envelope(flatbuffers::FlatBufferBuilder& builder, const dead_origin& origin, std::span<const std::byte> record) {
    builder.ForceVectorAlignment(record.size(), 1, record_alignment);  // it is read in place
    const auto wrapped = bytes_unless_empty(builder, record.data(), record.size());
    const auto topic = builder.CreateString(origin.topic);
    const auto subscription = builder.CreateString(origin.subscription);
    const auto reason = origin.reason.empty() ? Offset<flatbuffers::String>{} : builder.CreateString(origin.reason);
    const auto origin_at = wire::CreateOrigin(builder, topic, subscription, origin.partition, origin.at.value, origin.failures, reason);
    wire::FinishRecordBuffer(builder, wire::CreateRecord(builder, 0, 0, 0, wire::Compression::none, 0, origin_at, wrapped));
}

}  // namespace

error append_envelope(const dead_origin& origin, std::span<const std::byte> record, std::vector<std::byte>& out) {
    assert(out.size() % record_alignment == 0);
    const aligned_bytes aligned(record);
    opened_record inside;
    if (auto refused = open_record(aligned.get(), inside)) return refused;
    if (inside.envelopes == envelope_depth_max) return wrapped_too_often();
    if (auto refused = check_origin_bytes(origin.topic.size() + origin.subscription.size() + origin.reason.size())) return refused;

    flatbuffers::FlatBufferBuilder builder(record.size() + origin_bytes_max + envelope_frame_bytes_max);
    build_envelope(builder, origin, record);
    assert(record_bytes(builder) <= layer_bytes_max);
    append_sealed(builder, out);
    return {};
}

// ---- decoding ----

namespace {

template <class Vector>
void assign(std::string& out, const Vector* from) {
    if (from == nullptr) out.clear();
    else out.assign(reinterpret_cast<const char*>(from->Data()), from->size());
}

// check_content() has held payload_size against the limit before this allocates it.
error decode_payload(const wire::Record& record, std::string& out) {
    if (record.compression() == wire::Compression::none) {
        assign(out, record.payload());
        return {};
    }
    const auto method = static_cast<compression>(record.compression());
    if (method != compression::lz4 && method != compression::zstd)
        return {errc::unknown_compression, "its payload is compressed by method " + std::to_string(static_cast<unsigned>(method)) +
                                               ", this side knows 1 (lz4) and 2 (zstd); update the receiver"};
    out.resize(record.payload_size());
    const std::span compressed(reinterpret_cast<const std::byte*>(record.payload() ? record.payload()->Data() : nullptr), size_of(record.payload()));
    if (!compressed.empty() && decompress(method, compressed, out)) return {};
    return {errc::malformed_record, "its " + std::to_string(compressed.size()) + " bytes of compressed payload do not decompress to the " +
                                        std::to_string(record.payload_size()) + " it announces; check the producer's encoder"};
}

void decode_headers(const wire::Record& record, std::vector<header>& out) {
    out.resize(size_of(record.headers()));
    for (std::size_t i = 0; i < out.size(); ++i) {
        const auto* from = record.headers()->Get(static_cast<flatbuffers::uoffset_t>(i));
        assign(out[i].name, from->name());
        assign(out[i].value, from->value());
    }
}

dead_origin decode_origin(const wire::Origin& from) {
    dead_origin out;
    assign(out.topic, from.topic());
    assign(out.subscription, from.subscription());
    assign(out.reason, from.reason());
    out.partition = from.partition();
    out.at = {from.sequence()};
    out.failures = from.failures();
    return out;
}

}  // namespace

error decode_record(std::span<const std::byte> record, message& out, std::optional<dead_origin>* died) {
    const aligned_bytes aligned(record);
    opened_record inside;
    if (auto refused = open_record(aligned.get(), inside)) return refused;
    if (died != nullptr) {
        died->reset();
        if (inside.died != nullptr) *died = decode_origin(*inside.died);
    }
    if (inside.plain) {
        out.key.clear();
        out.headers.clear();
        out.payload = std::string(*inside.plain);
        return {};
    }
    assign(out.key, inside.message->key());
    decode_headers(*inside.message, out.headers);
    return decode_payload(*inside.message, out.payload);
}

}  // namespace millrace::proto
