// Payloads that no compression shrinks and that prove themselves: { u64 id · i64 sent at (steady ns) · bytes that follow from the id }.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::bench {

using steady = std::chrono::steady_clock;

inline constexpr std::size_t payload_bytes_min = 16;

/// splitmix64: every output bit depends on every input bit, so words of one payload can be made independently.
inline std::uint64_t scramble(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

struct payload_head {
    std::uint64_t id;
    std::int64_t sent_at;
};

inline std::string make_payload(std::uint64_t id, steady::time_point sent_at, std::size_t size) {
    std::string bytes(size, '\0');
    const payload_head head{id, sent_at.time_since_epoch().count()};
    std::memcpy(bytes.data(), &head, sizeof head);
    const auto seed = scramble(id);
    auto at = sizeof head;
    for (; at + 8 <= size; at += 8) {
        const auto word = scramble(seed + at);
        std::memcpy(bytes.data() + at, &word, 8);
    }
    const auto word = scramble(seed + at);
    std::memcpy(bytes.data() + at, &word, size - at);
    return bytes;
}

/// Whether `bytes` is what make_payload() made of its id; `head` is what it says.
inline bool read_payload(std::string_view bytes, payload_head& head) noexcept {
    if (bytes.size() < sizeof head) return false;
    std::memcpy(&head, bytes.data(), sizeof head);
    const auto seed = scramble(head.id);
    auto at = sizeof head;
    std::uint64_t differences = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data() + at, 8);
        differences |= word ^ scramble(seed + at);
    }
    const auto word = scramble(seed + at);
    return differences == 0 && std::memcmp(bytes.data() + at, &word, bytes.size() - at) == 0;
}

/// An id is its producer and a number: both dense, so one bit each remembers it.
inline std::uint64_t make_id(std::uint32_t producer, std::uint64_t number) noexcept { return std::uint64_t{producer} << 40 | number; }
inline std::uint64_t number_of(std::uint64_t id) noexcept { return id & ((std::uint64_t{1} << 40) - 1); }

/// Which ids have come.
class checklist {
public:
    /// False when it came before.
    bool tick(std::uint64_t id) {
        const auto producer = static_cast<std::size_t>(id >> 40);
        const auto number = static_cast<std::size_t>(number_of(id));
        if (producer >= came_.size()) came_.resize(producer + 1);
        auto& numbers = came_[producer];
        if (number >= numbers.size()) numbers.resize(std::max<std::size_t>(number + 1, numbers.size() * 2));
        if (numbers[number]) return false;
        numbers[number] = true;
        ++count_;
        return true;
    }

    std::uint64_t count() const noexcept { return count_; }

private:
    std::vector<std::vector<bool>> came_;  // by producer and number
    std::uint64_t count_ = 0;
};

}  // namespace millrace::bench
