// Private: the records of RocksDB's write-ahead logs, and what is added to them: each says of which log it is.
//
//   log      blocks of 32 KiB; less than a header at the end of one is filled with zeros
//   block    | record | record | first of a batch |  | middle |  | last | record | record | 0 0 |
//   record   { CRC-32C u32, length u16, type u8, payload }, little endian; the CRC over type and payload, masked, XOR salt_of(the log's number)
//
// A log is written over the bytes of a dead one, and RocksDB's records do not say where they belong. Fragments begin where blocks do, so a batch that was torn
// at a block's end would be completed by whatever the dead log has there. With the salt a record of another log does not hold, ever, and is known for what
// it is. RocksDB sees logs without salt: rocksdb_log_files puts it on what is written, rocksdb_log_view takes it off what is read.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::storage {

inline constexpr std::size_t log_block_bytes = 32u << 10;
inline constexpr std::size_t record_header_bytes = 7;

/// A batch is one full record, or a first, middle ones and a last. An end has no payload, and is not RocksDB's: behind it is what a dead log left.
enum class record_type : std::uint8_t { end = 0, full = 1, first = 2, middle = 3, last = 4 };

/// Of a manifest's records, and of the logs that earlier programs wrote.
inline constexpr std::uint32_t no_salt = 0;

/// Each number has its own, and none that comes up has no_salt.
std::uint32_t salt_of(std::uint64_t log);
std::uint64_t log_of(std::uint32_t salt);

struct log_record {
    record_type type = record_type::end;
    std::string_view payload;
    std::uint32_t salt = no_salt;  // with which its CRC holds: that of no log there is, when these bytes are no record

    std::size_t bytes() const { return record_header_bytes + payload.size(); }
    bool is_data_of(std::uint32_t wanted) const { return salt == wanted && type != record_type::end; }
};

/// nullopt when what stands at `pos` cannot be a record, by its length or its type.
std::optional<log_record> record_at(std::string_view block, std::size_t pos);

std::array<char, record_header_bytes> record_header(record_type type, std::string_view payload, std::uint32_t salt);

/// Puts the salt on the record that begins at `header`, or takes it off.
void turn_salt(char* header, std::uint32_t salt);

/// Puts a log's salt on its records, in pieces as they are written, which may end anywhere.
class log_salter {
public:
    explicit log_salter(std::uint64_t log);

    void put_on(char* bytes, std::size_t size);

    std::uint64_t at() const { return at_; }        // so many bytes came by
    std::uint64_t whole() const { return whole_; }  // up to there they are whole records

private:
    std::array<char, 4> salt_;
    std::uint64_t at_ = 0;
    std::uint64_t whole_ = 0;
    std::size_t header_taken_ = 0;  // bytes of the header that is coming by
    std::size_t length_ = 0;        // that it tells
    std::size_t left_ = 0;          // of the payload, or of what fills the block up
};

/// "000012.log"
std::string log_file_name(std::uint64_t number);

/// The number in "…/000012.log"; nullopt for every other file.
std::optional<std::uint64_t> log_number(std::string_view path);

}  // namespace millrace::storage
