#include "broker/storage/rocksdb_log_records.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "proto/crc32c.hpp"
#include "proto/little_endian.hpp"

namespace millrace::storage {
namespace {

constexpr std::uint32_t mask_delta = 0xa282ead8u;

// Odd, so that multiplying is undone by multiplying; its bits are spread, so that neighbours differ in many.
constexpr std::uint32_t spread = 0x9e3779b1u;

constexpr std::uint32_t inverse_of(std::uint32_t odd) {
    auto inverse = odd;  // right in the last three bits; each step doubles them
    for (int i = 0; i < 4; ++i) {
        inverse *= 2 - odd * inverse;
    }
    return inverse;
}
static_assert(spread * inverse_of(spread) == 1);

using proto::load;
using proto::store;

std::uint32_t masked_crc(char type, std::string_view payload) {
    const auto crc = proto::crc32c(proto::crc32c(0, &type, 1), payload.data(), payload.size());
    return (crc >> 15 | crc << 17) + mask_delta;
}

}  // namespace

std::uint32_t salt_of(std::uint64_t log) { return static_cast<std::uint32_t>(log) * spread; }

std::uint64_t log_of(std::uint32_t salt) { return salt * inverse_of(spread); }

std::optional<log_record> record_at(std::string_view block, std::size_t pos) {
    if (block.size() - pos < record_header_bytes) {
        return std::nullopt;
    }
    const auto* header = block.data() + pos;
    const auto type = static_cast<record_type>(header[6]);
    const std::size_t length = load<std::uint16_t>(header + 4);
    if (type > record_type::last || block.size() - pos - record_header_bytes < length || (type == record_type::end && length > 0)) {
        return std::nullopt;
    }
    const auto payload = block.substr(pos + record_header_bytes, length);
    return log_record{type, payload, load<std::uint32_t>(header) ^ masked_crc(header[6], payload)};
}

std::array<char, record_header_bytes> record_header(record_type type, std::string_view payload, std::uint32_t salt) {
    std::array<char, record_header_bytes> header;
    header[6] = static_cast<char>(type);
    store(header.data(), masked_crc(header[6], payload) ^ salt);
    store(header.data() + 4, static_cast<std::uint16_t>(payload.size()));
    return header;
}

void turn_salt(char* header, std::uint32_t salt) { store(header, load<std::uint32_t>(header) ^ salt); }

log_salter::log_salter(std::uint64_t log) { store(salt_.data(), salt_of(log)); }

void log_salter::put_on(char* bytes, std::size_t size) {
    for (const auto* const end = bytes + size; bytes < end;) {
        const auto room = log_block_bytes - at_ % log_block_bytes;
        if (left_ == 0 && header_taken_ == 0 && room < record_header_bytes) {
            left_ = room;
        }
        if (left_ > 0) {
            const auto passed = std::min(left_, static_cast<std::size_t>(end - bytes));
            left_ -= passed;
            bytes += passed;
            at_ += passed;
        } else {
            if (header_taken_ < salt_.size()) {
                *bytes = static_cast<char>(*bytes ^ salt_[header_taken_]);
            } else if (header_taken_ < record_header_bytes - 1) {
                length_ |= static_cast<std::size_t>(static_cast<unsigned char>(*bytes)) << 8 * (header_taken_ - salt_.size());
            }
            ++header_taken_;
            ++bytes;
            ++at_;
            if (header_taken_ == record_header_bytes) {
                left_ = std::exchange(length_, 0);
                header_taken_ = 0;
            }
        }
        if (left_ == 0 && header_taken_ == 0) {
            whole_ = at_;
        }
    }
}

std::string log_file_name(std::uint64_t number) {
    const auto digits = std::to_string(number);
    return std::string(6 - std::min<std::size_t>(6, digits.size()), '0') + digits + ".log";
}

std::optional<std::uint64_t> log_number(std::string_view path) {
    constexpr std::string_view suffix = ".log";
    if (!path.ends_with(suffix)) {
        return std::nullopt;
    }
    path.remove_suffix(suffix.size());
    const auto digits = path.substr(path.rfind('/') + 1);
    std::uint64_t number = 0;
    const auto* const end = digits.data() + digits.size();
    const auto [parsed, failed] = std::from_chars(digits.data(), end, number);
    return failed == std::errc{} && parsed == end ? std::optional(number) : std::nullopt;
}

}  // namespace millrace::storage
