#include "tests/blackbox/report.hpp"

#include <algorithm>
#include <ostream>

namespace millrace::blackbox {
namespace {

std::string ms(milliseconds t) { return std::to_string(t.count()) + " ms"; }

std::string recovery_text(const kind_sums& k) {
    if (k.recoveries.empty()) return "not seen alone";
    return "after " + ms(k.recoveries[k.recoveries.size() / 2]) + " in the middle, " + ms(k.recoveries.back()) + " at most";
}

}  // namespace

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

std::vector<std::pair<std::string, std::string>> figures(const outcome& of) {
    const auto s = of.told.sums();
    const auto n = [](std::uint64_t count) { return std::to_string(count); };
    return {
        {"published", n(s.sent) + ", answered " + n(s.answered) + ", refused " + n(s.refused)},
        {"delivered", n(s.delivered) + ", of them again " + n(s.again) + ", dead letters " + n(s.dead_letters)},
        {"handed in and answered", n(s.settled) + ", of them too late " + n(s.lost)},
        {"sessions", n(s.sessions) + ", of them come back to " + n(s.returns) + ", with " + n(s.leases_shown) + " leases, of which " + n(s.leases_taken_up) + " were renewed there"},
        {"packets", n(of.packets.passed) + " passed, " + n(of.packets.dropped) + " dropped"},
        {"longest without an answered publish", ms(s.silence_max)},
        {"everything settled", ms(of.settled_in) + " after the last fault"},
    };
}

void print_report(std::ostream& out, const outcome& of) {
    out << "seed " << of.seed << ": " << of.told.age().count() / 1000 << " s, " << of.marks.size() << " faults, " << of.told.violations().size() << " violations\n";
    for (const auto& [what, value] : figures(of)) out << "  " << what << ": " << value << "\n";
    for (const auto& [kind, k] : by_kind(of.marks)) out << "  " << k.count << " × " << kind << ", " << ms(k.lasted) << " in all; publishing again " << recovery_text(k) << "\n";
    for (const auto& [why, count] : of.told.sums().refusals) out << "  refused " << count << " × " << why << "\n";
}

}  // namespace millrace::blackbox
