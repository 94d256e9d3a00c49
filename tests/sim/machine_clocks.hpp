// The clocks of one machine in simulated time: the steady one is a little fast or slow, the wall clock is set back and forth besides.
#pragma once

#include "millrace/message.hpp"

namespace millrace::sim {

struct machine_clocks {
    std::int64_t drift_in_1000 = 0;
    std::chrono::microseconds wall_ahead{};

    /// The drift stays what it is in a run, so that it never goes back.
    std::chrono::microseconds steady(timestamp now) const { return now.time_since_epoch() * (1000 + drift_in_1000) / 1000; }
    timestamp wall(timestamp now) const { return now + wall_ahead; }

    /// How long it is until the steady clock has gone so far.
    std::chrono::microseconds until(std::chrono::microseconds steady_wait) const {
        return steady_wait * 1000 / (1000 + drift_in_1000) + std::chrono::microseconds(drift_in_1000 == 0 ? 0 : 1);
    }
};

}  // namespace millrace::sim
