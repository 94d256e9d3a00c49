// Broker time, made of the two clocks of a machine. While the broker runs it never goes back and does not leap, whatever somebody does to the wall clock: it
// goes on with the steady clock and leans towards the wall clock, by at most a tenth. Pure: it is told what the clocks say.
//
//   start   the wall clock; what the store has of another time is the core's affair
//   then    + what the steady clock went, × 0.9 to 1.1 for as long as the wall clock is elsewhere
#pragma once

#include <chrono>
#include <optional>

#include "millrace/message.hpp"

namespace millrace::driver {

class broker_clock {
public:
    static constexpr std::int64_t lean = 10;  // one part in so many
    static constexpr std::chrono::seconds jump_min{60};

    struct reading {
        timestamp wall;
        std::chrono::microseconds steady;  // since any moment
    };

    explicit broker_clock(const reading& at_start) : time_(at_start.wall), steady_(at_start.steady) {}

    /// REQUIRES that the steady clock has not gone back.
    timestamp now(const reading& clocks);

    /// How far the wall clock is ahead of broker time, once after it has jumped: by a minute or more since the last time that this told of it.
    std::optional<std::chrono::microseconds> take_jump();

private:
    timestamp time_;
    std::chrono::microseconds steady_;
    std::chrono::microseconds unused_{};  // of what went by, what was too little to lean for
    std::chrono::microseconds ahead_{};   // the wall clock, at the last reading
    std::chrono::microseconds told_{};
};

}  // namespace millrace::driver
