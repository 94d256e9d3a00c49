// What a run showed, for people.
#pragma once

#include <iosfwd>
#include <vector>

#include "tests/blackbox/faults.hpp"
#include "tests/blackbox/history.hpp"

namespace millrace::blackbox {

struct outcome {
    std::uint64_t seed = 0;
    const std::vector<fault_mark>& marks;
    milliseconds settled_in{0};  // after the last fault
    const history& told;
    network::counts packets;
};

void print_report(std::ostream& out, const outcome& of);

}  // namespace millrace::blackbox
