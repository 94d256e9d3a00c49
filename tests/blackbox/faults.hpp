// The faults of a run: which, when, to whom and for how long are drawn from the seed. Several may last at a time, one for each thing that it happens to.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/blackbox/world.hpp"
#include "tests/sim/random.hpp"

namespace millrace::blackbox {

/// Where a fault happens.
struct victim {
    world& of;
    std::size_t host = 0;  // of the client hosts; of no matter to faults of the broker
    sim::random_source& random;
};

/// Ends a fault.
using remedy = std::function<void()>;

struct fault_kind {
    enum class place { broker, host, wire };

    const char* name;
    place where;
    unsigned weight;
    milliseconds shortest, longest;
    std::function<bool(world&)> is_possible;
    std::function<remedy(const victim&)> begin;
};

/// All there are. What this machine cannot do is left out, and told.
std::vector<fault_kind> fault_kinds();

/// What a fault did, for the report.
struct fault_mark {
    std::string kind;
    std::string whom;
    milliseconds begun{0}, ended{0};   // since the run began
    std::optional<milliseconds> recovery;  // from its end until those whom it had struck had a publish answered, when nothing else struck them
};

class faults {
public:
    /// Only kinds in whose names the regular expression `only` is found.
    faults(world& among, std::uint64_t seed, const std::string& only = {});

    /// Until the time has passed or a promise was broken. No fault lasts when it returns.
    void run(milliseconds how_long);

    const std::vector<fault_mark>& marks() const { return marks_; }

private:
    using moment = history::clock::time_point;
    struct active {
        std::size_t mark;
        std::string where;
        host_number whose;  // 0: everybody's
        moment until;
        remedy end;
    };
    struct recovering {
        std::size_t mark;
        host_number whose;
        moment since;
    };

    void begin_one();
    const fault_kind& draw_kind();
    bool is_last_left(host_number one) const;
    void end_due(moment now);
    void end(active& a);
    void watch_recovery();
    bool is_struck_again(const recovering& r) const;
    void watch_broker();

    world& world_;
    sim::random_source random_;
    std::vector<fault_kind> kinds_;
    std::list<active> active_;
    std::list<recovering> recovering_;
    std::map<host_number, moment> not_back_;  // hosts, and when the fault that struck them was over: no publish of theirs has been answered since
    std::vector<fault_mark> marks_;
};

}  // namespace millrace::blackbox
