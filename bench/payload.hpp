// Payloads that no compression shrinks, each by itself, and that prove themselves: { u64 id · i64 sent at (steady ns) · bytes that follow from the id }.
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

/// splitmix64: every output bit depends on every input bit.
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

/// What payloads are cut from: made once, so that making and checking one costs a copy and a comparison, and a measurement is of the broker. Small
/// enough to stay in a core's cache.
class payload_source {
public:
    static constexpr std::size_t beginnings = 256u << 10;  // a payload begins at one of them, as its id says

    explicit payload_source(std::size_t largest) : bytes_(beginnings + largest + 8, '\0') {
        for (std::size_t at = 0; at + 8 <= bytes_.size(); at += 8) {
            const auto word = scramble(at);
            std::memcpy(bytes_.data() + at, &word, 8);
        }
    }

    std::string make(std::uint64_t id, steady::time_point sent_at, std::size_t size) const {
        std::string payload(bytes_, beginning_of(id), size);
        const payload_head head{id, sent_at.time_since_epoch().count()};
        std::memcpy(payload.data(), &head, sizeof head);
        return payload;
    }

    /// Whether `payload` is what make() made of its id; `head` is what it says.
    bool read(std::string_view payload, payload_head& head) const noexcept {
        if (payload.size() < sizeof head || payload.size() > bytes_.size() - beginnings) return false;
        std::memcpy(&head, payload.data(), sizeof head);
        const auto* should_be = bytes_.data() + beginning_of(head.id);
        return std::memcmp(payload.data() + sizeof head, should_be + sizeof head, payload.size() - sizeof head) == 0;
    }

private:
    static std::size_t beginning_of(std::uint64_t id) noexcept { return scramble(id) % beginnings; }

    std::string bytes_;
};

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
