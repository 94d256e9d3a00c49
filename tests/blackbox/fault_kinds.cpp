#include <signal.h>

#include "tests/blackbox/faults.hpp"

namespace millrace::blackbox {
namespace {

using place = fault_kind::place;

bool always(world&) { return true; }

/// What dies with it was never promised: its sessions, and the leases they held without a client that comes back for them.
remedy kill_broker(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    v.of.broker().kill();
    return [&w = v.of] {
        w.told().end_doubt_of_broker();
        w.broker().start();
    };
}

/// As kill_broker(), and again while it starts.
remedy kill_broker_twice(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    v.of.broker().kill();
    return [&w = v.of, soon = milliseconds(v.random.below(80))] {
        w.broker().start_and_kill(soon);
        w.told().end_doubt_of_broker();
        w.broker().start();
    };
}

}  // namespace

std::vector<fault_kind> fault_kinds() {
    return {
        {"broker killed", place::broker, 4, 0ms, 2s, always, kill_broker},
        {"broker killed, and while it starts", place::broker, 1, 0ms, 500ms, always, kill_broker_twice},
    };
}

}  // namespace millrace::blackbox
