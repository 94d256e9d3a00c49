// millrace-power-cut --cuts N [--seed S] [--flip]: cuts the power of brokers on the real store until N cuts were survived; prints what broke and the seed;
// exits 0 when every promise was kept. With --flip, bits of what lies on the disk are turned over in between, N times.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <random>

#include "tests/power/flip.hpp"
#include "tests/power/power_machine.hpp"
#include "tests/sim/watched_seed.hpp"
#include "tests/sim/world.hpp"

namespace {

using namespace millrace;
using power::flip_counts;
using power::power_counts;

constexpr int exit_usage = 2;
constexpr std::size_t traced_events = 200;
constexpr int flips_each = 4;

void add(power_counts& to, const power_counts& more) {
    to.cuts += more.cuts;
    to.cuts_while_opening += more.cuts_while_opening;
    to.kills += more.kills;
    to.failures += more.failures;
    to.refused_syncs += more.refused_syncs;
    to.orderly_ends += more.orderly_ends;
    to.restarts += more.restarts;
    to.groups += more.groups;
    to.operations += more.operations;
    to.reused_logs += more.reused_logs;
}

/// One broker's life with all its cuts, and `flips` for each of them.
bool run(std::uint64_t seed, int flips, power_counts& total, flip_counts& flipped) {
    sim::trace noted(traced_events);
    const sim::watched_seed watched(seed, noted, "millrace-power-cut --cuts 1 --seed " + std::to_string(seed) + (flips > 0 ? " --flip" : ""));
    auto held = true;
    std::uint64_t rests = 0;
    const auto damage = [&](power::power_machine& m) { power::flip_bits(m.disk(), m.expected(), m.vouched_groups(), seed ^ ++rests << 32, flips, flipped); };
    power::power_machine machine(seed, flips > 0 ? std::function<void(power::power_machine&)>(damage) : nullptr);
    try {
        sim::world world(seed, noted, &machine);
        world.run();
    } catch (const std::exception& broken) {
        watched.tell(broken.what());
        held = false;
    }
    add(total, machine.counts());
    return held;
}

void print(const power_counts& c, std::uint64_t first, std::uint64_t runs) {
    const auto n = [](std::uint64_t x) { return static_cast<unsigned long long>(x); };
    std::printf("%llu power cuts (%llu while opening), %llu kills, %llu failed operations (%llu syncs that ended the broker), %llu orderly ends, %llu restarts; "
                "%llu groups in %llu operations on files, %llu logs over dead ones; %llu seeds from %llu\n",
                n(c.cuts), n(c.cuts_while_opening), n(c.kills), n(c.failures), n(c.refused_syncs), n(c.orderly_ends), n(c.restarts), n(c.groups),
                n(c.operations), n(c.reused_logs), n(runs), n(first));
}

void print(const flip_counts& c) {
    const auto n = [](std::uint64_t x) { return static_cast<unsigned long long>(x); };
    std::printf("%llu damaged stores: %llu without effect, %llu refused and salvaged; of %llu entries read none was wrong, %llu lost and named; %llu rows lost;",
                n(c.flips), n(c.harmless), n(c.refused), n(c.entries), n(c.lost_entries), n(c.lost_rows));
    for (const auto& [kind, count] : c.by_kind) std::printf(" %llu %s", n(count), kind.c_str());
    std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Cuts the power of brokers on the real store, again and again, and judges what is left."};
    std::uint64_t first = std::random_device{}() % 1'000'000'000, cuts = 100;
    bool verbose = false, flip = false;
    app.add_option("--cuts", cuts, "go on until so many were survived")->check(CLI::PositiveNumber);
    app.add_option("--seed", first, "the first of the seeds; without it, any");
    app.add_flag("--flip", flip, "turn bits over between the cuts, so many times");
    app.add_flag("--verbose", verbose, "say what each seed went through");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        const auto code = app.exit(e);
        return code == 0 ? 0 : exit_usage;
    }
    std::printf("seeds from %llu\n", static_cast<unsigned long long>(first));
    std::fflush(stdout);
    power_counts total;
    flip_counts flipped;
    auto seed = first;
    for (; (flip ? flipped.flips : total.cuts) < cuts; ++seed) {
        power_counts of_seed;
        const auto held = run(seed, flip ? flips_each : 0, of_seed, flipped);
        add(total, of_seed);
        if (verbose) print(of_seed, seed, 1);
        if (verbose && flip) print(flipped);
        if (!held) return sim::exit_violated;
    }
    print(total, first, seed - first);
    if (flip) print(flipped);
    std::printf("every promise was kept\n");
    return 0;
}
