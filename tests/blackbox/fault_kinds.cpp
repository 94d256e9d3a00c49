#include <signal.h>

#include "tests/blackbox/faults.hpp"

namespace millrace::blackbox {
namespace {

using place = fault_kind::place;

bool always(world&) { return true; }
bool has_clock(world& w) { return w.broker().has_clock(); }
bool has_faulty_disk(world& w) { return w.broker().has_faulty_disk(); }

/// What dies with it was never promised: its sessions, and the leases they held without a client that comes back for them.
remedy kill_broker(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    v.of.broker().kill();
    return [&w = v.of] {
        w.told().end_doubt_of_broker();
        w.restart_broker();
    };
}

/// As kill_broker(), and again while it starts.
remedy kill_broker_twice(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    v.of.broker().kill();
    return [&w = v.of, soon = milliseconds(v.random.below(80))] {
        w.broker().start_and_kill(soon);
        w.told().end_doubt_of_broker();
        w.restart_broker();
    };
}

/// It answers what it had taken, says goodbye, and comes back.
remedy restart_broker(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    if (const auto code = v.of.broker().stop(); code != 0) v.of.told().violate("the broker ended with " + std::to_string(code) + " when it was asked to");
    return [&w = v.of] {
        w.told().end_doubt_of_broker();
        w.restart_broker();
    };
}

/// It stands still, shorter than any side waits for the other: no session ends of it, and no lease is given away before what came meanwhile was read.
remedy stop_broker(const victim& v) {
    v.of.broker().send(SIGSTOP);
    return [&w = v.of] { w.broker().send(SIGCONT); };
}

/// Likewise.
remedy stop_host(const victim& v) {
    auto& machine = v.of.client_host(v.host);
    machine.freeze();
    return [&machine] { machine.thaw(); };
}

/// For longer than the broker waits: it ends the sessions of that host, which hears of it late.
remedy stop_host_for_long(const victim& v) {
    auto& machine = v.of.client_host(v.host);
    v.of.told().begin_doubt(machine.number());
    machine.freeze();
    return [&w = v.of, &machine] {
        w.told().end_doubt(machine.number());
        machine.thaw();
    };
}

/// The wall clock of its machine is set, by seconds or hours, to either side of the true time. The broker reads it when it starts.
remedy set_clock(const victim& v) {
    const auto most = v.random.chance(500) ? 20u : 7'200u;
    const auto ahead = std::chrono::seconds(v.random.below(2 * most + 1)) - std::chrono::seconds(most);
    v.of.broker().set_clock(ahead);
    return [] {};
}

/// And it is killed at once.
remedy set_clock_and_kill(const victim& v) {
    set_clock(v);
    return kill_broker(v);
}

// ---- its disk ------------------------------------------------------------------------------------------------------------------

/// Until a publish that was sent to it is answered. False after so long.
bool wait_until_it_answers(world& w, milliseconds at_most) {
    const auto begun = history::clock::now();
    while (w.told().answered_at(0) < begun) {
        if (history::clock::now() - begun > at_most) return false;
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

/// Somebody else fills it, but for what acks need: publishes are refused, and nothing else changes.
remedy fill_disk(const victim& v) {
    v.of.disk().fill_up((24u << 20) + v.random.below(24u << 20));
    return [&w = v.of] { w.disk().remove_filling(); };
}

/// To the last byte, and what the broker gives back meanwhile too: its store fails, its shard is thrown away, and it comes back by itself when there is room.
remedy fill_disk_to_the_last_byte(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    v.of.disk().fill_up(0);
    return [&w = v.of] {
        w.disk().fill_up(0);
        std::this_thread::sleep_for(1s);
        w.disk().remove_filling();
        // What is stored may have grown meanwhile to where publishing is refused: it is consumed, and its space is back a minute later at the latest.
        if (!wait_until_it_answers(w, 90s)) w.told().violate("the broker does not take a publish 90 s after its disk has room again");
        w.told().end_doubt_of_broker();
    };
}

/// A write fails: nobody knows what of it is there. The broker opens its store again, and its clients come back.
remedy fail_write(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    v.of.broker().fail_once("fail-write");
    return [&w = v.of] {
        if (!wait_until_it_answers(w, 30s)) w.told().violate("the broker does not take a publish 30 s after a write has failed");
        if (!w.broker().has_struck("fail-write")) w.told().violate("publishes are answered, and nothing is written");
        w.told().end_doubt_of_broker();
    };
}

/// A sync fails: what of the log is on the disk is not known, and a process that goes on may never learn it. It ends with 70.
remedy fail_sync(const victim& v) {
    v.of.told().begin_doubt_of_broker();
    v.of.broker().expect_end();
    v.of.broker().fail_once("fail-sync");
    return [&w = v.of] {
        const auto code = w.broker().wait_for_end(30s);
        if (code != 70) w.told().violate("the broker " + (code ? "ended with " + std::to_string(*code) : "goes on") + " after a failed sync");
        if (!code) w.broker().kill();
        w.told().end_doubt_of_broker();
        w.restart_broker();
    };
}

/// It crawls.
remedy slow_disk(const victim& v) {
    v.of.broker().slow_down(milliseconds(v.random.between(20, 400)));
    return [&w = v.of] { w.broker().slow_down(0ms); };
}

// ---- the network ---------------------------------------------------------------------------------------------------------------

void set_both_ways(world& w, host_number whose, const weather& now) {
    w.wires().set(whose, world::broker_host, now);
    w.wires().set(world::broker_host, whose, now);
}

/// Nothing gets through. TCP sends again ever more seldom, so what it lasts is at most doubled, and still no side gives the other up.
remedy cut_off(const victim& v) {
    const auto whose = v.of.client_host(v.host).number();
    set_both_ways(v.of, whose, {.cut = true});
    return [&w = v.of, whose] { set_both_ways(w, whose, {}); };
}

/// Nothing gets through for longer than either side waits for the other.
remedy cut_off_for_long(const victim& v) {
    const auto whose = v.of.client_host(v.host).number();
    v.of.told().begin_doubt(whose);
    set_both_ways(v.of, whose, {.cut = true});
    return [&w = v.of, whose] {
        w.told().end_doubt(whose);
        set_both_ways(w, whose, {});
    };
}

/// One direction is cut: the other side is heard, and hears nothing.
remedy cut_one_way(const victim& v) {
    const auto whose = v.of.client_host(v.host).number();
    const auto is_deaf = v.random.chance(500);
    v.of.wires().set(is_deaf ? world::broker_host : whose, is_deaf ? whose : world::broker_host, {.cut = true});
    return [&w = v.of, whose] { set_both_ways(w, whose, {}); };
}

/// Packets are late, overtake each other, get lost, and come twice.
remedy disturb(const victim& v) {
    const auto whose = v.of.client_host(v.host).number();
    weather now;
    now.delay = v.random.between(0us, 80'000us);
    now.jitter = v.random.between(0us, 40'000us);
    now.lost_permille = static_cast<unsigned>(v.random.below(100));
    now.doubled_permille = static_cast<unsigned>(v.random.below(50));
    set_both_ways(v.of, whose, now);
    return [&w = v.of, whose] { set_both_ways(w, whose, {}); };
}

}  // namespace

std::vector<fault_kind> fault_kinds() {
    return {
        {"broker killed", place::broker, 4, 0ms, 2s, always, kill_broker},
        {"broker killed, and while it starts", place::broker, 1, 0ms, 500ms, always, kill_broker_twice},
        {"broker restarted", place::broker, 1, 0ms, 1s, always, restart_broker},
        {"broker stopped (SIGSTOP)", place::broker, 3, 100ms, 6s, always, stop_broker},
        {"broker's clock set", place::broker, 1, 0ms, 1s, has_clock, set_clock},
        {"broker's clock set, and killed", place::broker, 2, 0ms, 1s, has_clock, set_clock_and_kill},
        {"disk full", place::broker, 2, 500ms, 5s, always, fill_disk},
        {"disk full to the last byte", place::broker, 2, 100ms, 4s, always, fill_disk_to_the_last_byte},
        {"a write fails", place::broker, 2, 0ms, 100ms, has_faulty_disk, fail_write},
        {"a sync fails", place::broker, 2, 0ms, 500ms, has_faulty_disk, fail_sync},
        {"disk slow", place::broker, 2, 1s, 6s, has_faulty_disk, slow_disk},
        {"client host stopped", place::host, 4, 100ms, 8s, always, stop_host},
        {"client host stopped for long", place::host, 1, 33s, 40s, always, stop_host_for_long},
        {"client host cut off", place::wire, 4, 100ms, 6s, always, cut_off},
        {"client host cut off for long", place::wire, 1, 33s, 45s, always, cut_off_for_long},
        {"client host cut off one way", place::wire, 4, 100ms, 6s, always, cut_one_way},
        {"packets late, lost, doubled, out of order", place::wire, 4, 1s, 12s, always, disturb},
    };
}

}  // namespace millrace::blackbox
