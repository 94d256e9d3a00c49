// What a message is, to those who send it and to those who receive it.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// A moment in broker time (or in the client's own clock where said), to the microsecond, since the Unix epoch.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

/// Position of a message in its partition: from 0, without gaps, never reused.
struct sequence {
    std::uint64_t value = 0;

    auto operator<=>(const sequence&) const = default;
    constexpr sequence& operator++() { ++value; return *this; }
    friend constexpr sequence operator+(sequence s, std::uint64_t n) { return {s.value + n}; }
    friend constexpr sequence operator-(sequence s, std::uint64_t n) { return {s.value - n}; }
    friend constexpr std::uint64_t operator-(sequence a, sequence b) { return a.value - b.value; }
};

/// What an answer promises about the messages it answers for. Ordered: a larger one survives more.
enum class durability : std::uint8_t {
    memory = 0,      // lost when the broker ends
    buffered = 1,    // written to the operating system, survives the broker's death
    disk = 2,        // fdatasync returned, survives the machine's death
    replicated = 3,  // on more than one machine
};

const char* name_of(durability level) noexcept;

struct header {
    std::string name;
    std::string value;

    bool operator==(const header&) const = default;
};

/// What a producer sends. The key chooses the partition (xxh64(key) mod partitions); without one the client spreads messages.
struct message {
    std::string key{};
    std::vector<header> headers{};  // at most 64, in order; names may repeat
    std::string payload{};

    bool operator==(const message&) const = default;
};

/// Limits that both sides hold. Bytes unless said.
namespace limits {
inline constexpr std::size_t frame_bytes = 16u << 20;
inline constexpr std::size_t message_bytes = 8u << 20;   // a whole record: key, headers and payload
inline constexpr std::size_t batch_bytes = 1u << 20;     // what the client library fills; a larger message travels alone
inline constexpr std::size_t batch_messages = 4096;
inline constexpr std::size_t name_bytes = 255;
inline constexpr std::size_t headers = 64;
inline constexpr std::size_t credit_bytes = 32u << 20;   // of a consumer: what it gives beyond is cut
inline constexpr std::size_t partitions = 1024;          // of one topic
}  // namespace limits

}  // namespace millrace
