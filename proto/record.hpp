// The record: one message as bytes, the same on the wire, in the store and in a dead letter. Format: FORMAT.md §2.
//
//   u32 length (whole record, a multiple of 8) · u32 CRC-32C of (length, flatbuffer) · flatbuffer Record, padded to 8
//
// Records stand end to end, so any run of them is one contiguous piece of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::proto {

inline constexpr std::size_t record_alignment = 8;
inline constexpr std::size_t record_header_bytes = 8;
inline constexpr std::size_t record_bytes_min = record_header_bytes + 16;  // root offset, an empty table and its vtable: shorter ones are no flatbuffer

enum class compression : std::uint8_t { none = 0, lz4 = 1, zstd = 2 };

/// Payloads up to this size are never compressed.
inline constexpr std::size_t compression_threshold_bytes = 512;

/// Encodes messages one after another into a buffer of its caller. Keeps its flatbuffer memory between calls; one thread at a time.
class record_encoder {
public:
    record_encoder();
    ~record_encoder();
    record_encoder(record_encoder&&) noexcept;
    record_encoder& operator=(record_encoder&&) noexcept;

    /// Appends the record of `m` to `out`; out.size() must be a multiple of 8 and stays one. A payload above the threshold is compressed when
    /// that makes it smaller. Errors: message_too_large, too_many_headers, invalid_argument (an empty header name); then `out` is unchanged.
    error append(const message& m, compression method, std::vector<std::byte>& out);

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// Where a dead letter comes from and why it died.
struct dead_origin {
    std::string topic;
    std::string subscription;
    std::uint32_t partition = 0;
    sequence at;
    std::uint32_t failures = 0;
    std::string reason;

    bool operator==(const dead_origin&) const = default;
};

/// A message that dies again where dead letters are consumed is wrapped again, so often at most.
inline constexpr std::size_t envelope_depth_max = 8;

/// Topic, subscription and reason of one origin together.
inline constexpr std::size_t origin_bytes_max = 4u << 10;

/// Bytes by which an envelope may exceed limits::message_bytes: a message of the largest size can die envelope_depth_max times.
inline constexpr std::size_t envelope_bytes_max = 64u << 10;

/// Appends the envelope of one whole `record`, itself an envelope or not, to `out`; out.size() must be a multiple of 8 and stays one. The record is
/// kept byte for byte, aligned to 8. Errors: those of decode_record but unknown_compression, so that no damage gets a valid checksum; message_too_large
/// when it is wrapped envelope_depth_max times already or the origin exceeds origin_bytes_max; then `out` is unchanged.
error append_envelope(const dead_origin& origin, std::span<const std::byte> record, std::vector<std::byte>& out);

/// Checks `count` published records that must fill `bytes` exactly: lengths, CRC, flatbuffer, limits; never decompresses. An envelope is refused as
/// malformed_record: only a broker makes one. `bytes.data()` need not be aligned.
/// Appends to `ends` the end of each record as an offset from bytes.data() plus `base`. On error `ends` is as it was before.
/// Errors: malformed_record, checksum_mismatch, message_too_large, too_many_headers; the text names the record's index.
error verify_records(std::span<const std::byte> bytes, std::uint32_t count, std::uint32_t base, std::vector<std::uint32_t>& ends);

/// Checks the CRCs of records that were verified before they were stored; `bytes` must hold whole records. Errors: checksum_mismatch, naming the index.
error verify_checksums(std::span<const std::byte> bytes);

/// The CRC-32C of the records' own CRCs in order: names the content of a batch in four bytes. `bytes` must have been verified.
std::uint32_t batch_checksum(std::span<const std::byte> bytes);

/// The length of the first record of `bytes` from its header alone; nullopt when `bytes` does not hold a whole record.
std::optional<std::uint32_t> record_length(std::span<const std::byte> bytes) noexcept;

/// Verifies and decodes one whole record or envelope, decompressing up to limits::message_bytes. Of an envelope, the message is that of the innermost
/// record. `died`, where given, is set to the outermost origin, or to nullopt when `record` is no envelope.
/// Errors: as verify_records, and unknown_compression; then `out` and `died` are unspecified.
error decode_record(std::span<const std::byte> record, message& out, std::optional<dead_origin>* died = nullptr);

}  // namespace millrace::proto
