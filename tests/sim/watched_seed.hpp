// A run of a seed that fails is told with its seed, its last events and how to see it again: when a promise is broken, when the broker ends or crashes the
// process, and when it does not come to an end. One at a time.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/trace.hpp"

namespace millrace::sim {

inline constexpr int exit_violated = 1;

class watched_seed {
public:
    /// `again` is the command that runs this seed. From now on a fatal signal is told, and ends the process with exit_violated; so does an alarm after
    /// `seconds_max` of the processor's time, unless that is 0.
    watched_seed(std::uint64_t seed, const trace& noted, std::string again, unsigned seconds_max = 0);
    ~watched_seed();
    watched_seed(const watched_seed&) = delete;
    watched_seed& operator=(const watched_seed&) = delete;

    void tell(const char* why) const;

private:
    const std::uint64_t seed_;
    const trace& noted_;
    const std::string again_;
};

}  // namespace millrace::sim
