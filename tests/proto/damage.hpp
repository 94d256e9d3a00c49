// Ways to make bytes wrong, for tests that expect them to be refused.
#pragma once

#include <cstring>
#include <random>
#include <span>

#include <flatbuffers/flatbuffers.h>

#include "proto/crc32c.hpp"
#include "proto/little_endian.hpp"
#include "record_generated.h"
#include "samples.hpp"
#include "tests/proto/seal.hpp"

namespace millrace::proto::damage {

using samples::byte_string;

inline void set_u32(byte_string& bytes, std::size_t at, std::uint32_t value) { store(bytes.data() + at, value); }

inline void flip_bit(byte_string& bytes, std::size_t bit) { bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8)); }

/// A sealed record around whatever flatbuffer `builder` holds.
inline byte_string record_around(const flatbuffers::FlatBufferBuilder& builder) {
    byte_string record(record_header_bytes + (builder.GetSize() + 7) / 8 * 8);
    set_u32(record, 0, static_cast<std::uint32_t>(record.size()));
    std::memcpy(record.data() + record_header_bytes, builder.GetBufferPointer(), builder.GetSize());
    seal(record);
    return record;
}

/// A sealed record of these fields, whatever they say.
inline byte_string record_of(std::span<const std::uint8_t> payload, std::uint8_t method, std::uint32_t payload_size) {
    flatbuffers::FlatBufferBuilder builder;
    const auto bytes = builder.CreateVector(payload.data(), payload.size());
    wire::FinishRecordBuffer(builder, wire::CreateRecord(builder, 0, 0, bytes, static_cast<wire::Compression>(method), payload_size));
    return record_around(builder);
}

/// A record whose headers are all one and the same table in its bytes.
inline byte_string record_with_headers(std::size_t count, const std::string& name, std::size_t value_bytes) {
    flatbuffers::FlatBufferBuilder builder;
    const std::vector<std::uint8_t> value(value_bytes, 'v');
    const auto header = wire::CreateHeader(builder, builder.CreateString(name), builder.CreateVector(value));
    const auto headers = builder.CreateVector(std::vector(count, header));
    wire::FinishRecordBuffer(builder, wire::CreateRecord(builder, 0, headers));
    return record_around(builder);
}

/// Where the wrapped record of an envelope begins.
inline std::size_t wrapped_at(const byte_string& envelope) {
    const auto* wrapped = wire::GetRecord(envelope.data() + record_header_bytes)->wrapped();
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(wrapped->Data()) - envelope.data());
}

/// A sealed envelope of these fields, whatever they say: `build(builder, origin, wrapped)` makes the Record. The wrapped bytes are aligned to 8,
/// or stand `shift` bytes beside that.
template <class Build>
byte_string envelope_of(const byte_string& wrapped, Build build, std::size_t shift = 0) {
    flatbuffers::FlatBufferBuilder builder;
    builder.ForceVectorAlignment(wrapped.size(), 1, record_alignment);
    builder.Pad(shift);
    const auto bytes = builder.CreateVector(reinterpret_cast<const std::uint8_t*>(wrapped.data()), wrapped.size());
    const auto origin = wire::CreateOriginDirect(builder, "photos", "resize", 3, 100, 5, "why");
    wire::FinishRecordBuffer(builder, build(builder, origin, bytes));
    return record_around(builder);
}

/// One to four bytes of `bytes` from `from` on become others.
inline void mutate(byte_string& bytes, std::size_t from, std::mt19937& random) {
    for (auto times = 1 + random() % 4; times > 0; --times) {
        auto& byte = bytes[from + random() % (bytes.size() - from)];
        // Small numbers are offsets and sizes, where damage does most.
        byte = random() % 2 == 0 ? static_cast<std::byte>(random() % 16) : static_cast<std::byte>(random());
    }
}

}  // namespace millrace::proto::damage
