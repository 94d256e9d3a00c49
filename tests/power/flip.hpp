// Bit rot: bits of one file of a store at rest are turned over, and what a broker makes of it is held against the same store without the damage.
//
//   it opens, or is refused by the file's name ─► --salvage opens it ─► check --repair makes it sound ─► the core recovers
//   whatever is read is what was once written · what is missing has been named · what nothing was said about is as it was
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tests/power/power_machine.hpp"

namespace millrace::power {

struct flip_counts {
    std::uint64_t flips = 0;
    std::uint64_t harmless = 0;   // nothing was said, and nothing is missing
    std::uint64_t refused = 0;    // the start, by name; then salvaged
    std::uint64_t entries = 0;    // compared
    std::uint64_t lost_entries = 0;  // each of them named
    std::uint64_t lost_rows = 0;
    std::map<std::string, std::uint64_t> by_kind;  // of the damaged file
};

/// Damages copies of a disk on which no store is open, `times` times. Of the log's end, what came after `vouched_groups` may be taken for a torn tail. Throws
/// sim::violation.
void flip_bits(const power_disk& disk, const twin& written, std::uint64_t vouched_groups, std::uint64_t seed, int times, flip_counts& counts);

}  // namespace millrace::power
