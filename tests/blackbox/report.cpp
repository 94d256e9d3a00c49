#include "tests/blackbox/report.hpp"

#include <algorithm>
#include <map>
#include <ostream>

namespace millrace::blackbox {
namespace {

/// Of the faults of one kind.
struct kind_sums {
    std::size_t count = 0;
    milliseconds lasted{0};
    std::vector<milliseconds> recoveries;
};

std::map<std::string, kind_sums> by_kind(const std::vector<fault_mark>& marks) {
    std::map<std::string, kind_sums> out;
    for (const auto& m : marks) {
        auto& k = out[m.kind];
        ++k.count;
        k.lasted += m.ended - m.begun;
        if (m.recovery) k.recoveries.push_back(*m.recovery);
    }
    for (auto& [name, k] : out) std::sort(k.recoveries.begin(), k.recoveries.end());
    return out;
}

std::string ms(milliseconds t) { return std::to_string(t.count()) + " ms"; }

std::string recovery_text(const kind_sums& k) {
    if (k.recoveries.empty()) return "not seen";
    return ms(k.recoveries[k.recoveries.size() / 2]) + " in the middle, " + ms(k.recoveries.back()) + " at most";
}

}  // namespace

void print_report(std::ostream& out, const outcome& of) {
    const auto s = of.told.sums();
    out << "seed " << of.seed << ": " << of.told.age().count() / 1000 << " s, " << of.marks.size() << " faults, " << of.told.violations().size() << " violations\n"
        << "  published " << s.sent << ", answered " << s.answered << ", refused " << s.refused << "; delivered " << s.delivered << ", of them again " << s.again
        << ", dead letters " << s.dead_letters << "; settled " << s.settled << ", of them too late " << s.lost << "; sessions " << s.sessions << "\n"
        << "  packets passed " << of.packets.passed << ", dropped " << of.packets.dropped << "\n"
        << "  longest without an answered publish " << ms(s.silence_max) << "; everything settled " << ms(of.settled_in) << " after the last fault\n";
    for (const auto& [kind, k] : by_kind(of.marks))
        out << "  " << k.count << " × " << kind << ", " << ms(k.lasted) << " in all; publishing again after " << recovery_text(k) << "\n";
    for (const auto& [why, count] : s.refusals) out << "  refused " << count << " × " << why << "\n";
}

}  // namespace millrace::blackbox
