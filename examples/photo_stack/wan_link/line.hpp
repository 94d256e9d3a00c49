// One direction of a long line: packets that enter leave later, in the order in which they have entered, and some never. It is told the time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <vector>

namespace photo_wan {

using packet = std::vector<char>;

struct line_settings {
    std::chrono::microseconds delay{0};
    std::chrono::microseconds jitter{0};  // on top of it, up to so much
    unsigned lost_permille = 0;
    std::size_t packets_max = 10'000;  // on their way; what enters then is lost
};

class line {
public:
    using clock = std::chrono::steady_clock;

    line(const line_settings& settings, std::uint64_t seed) : settings_(settings), random_(seed) {}

    void enter(clock::time_point now, packet p);

    /// When the next packet leaves, if there is one.
    std::optional<clock::time_point> next() const;

    /// A packet whose time has come.
    std::optional<packet> leave(clock::time_point now);

private:
    struct on_its_way {
        clock::time_point due;
        packet content;
    };

    bool is_lost();
    std::chrono::microseconds time_on_the_way();

    line_settings settings_;
    std::mt19937_64 random_;
    std::deque<on_its_way> packets_;
};

}  // namespace photo_wan
