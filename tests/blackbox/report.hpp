// What a run showed, for people.
#pragma once

#include <iosfwd>
#include <map>
#include <string>
#include <utility>
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

/// Of the faults of one kind.
struct kind_sums {
    std::size_t count = 0;
    milliseconds lasted{0};
    std::vector<milliseconds> recoveries;  // in order
};
std::map<std::string, kind_sums> by_kind(const std::vector<fault_mark>& marks);

/// What there is to say in one number each.
std::vector<std::pair<std::string, std::string>> figures(const outcome& of);

void print_report(std::ostream& out, const outcome& of);
/// As an HTML page. Throws when it cannot be written.
void write_page(const std::string& path, const outcome& of);

}  // namespace millrace::blackbox
