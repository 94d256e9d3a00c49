// millrace-sim --seed S | --seed-start S --seeds N: runs the simulator; prints the failing seed and its trace; exits 0 when all holds.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "tests/sim/world.hpp"

namespace {

using namespace millrace::sim;

constexpr int exit_violated = 1;
constexpr int exit_usage = 2;
std::size_t traced_events = 400;
std::uint64_t running_seed = 0;
const trace* running_trace = nullptr;

void print_failure(const char* why) {
    if (running_trace) running_trace->print(stderr);
    std::fprintf(stderr, "seed %llu: %s\n  again: millrace-sim --seed %llu\n", static_cast<unsigned long long>(running_seed), why,
                 static_cast<unsigned long long>(running_seed));
    std::fflush(stderr);
}

/// A broken invariant inside the broker aborts: the seed and the way there are told all the same.
void on_abort(int) {
    print_failure("the broker ended itself");
    std::_Exit(exit_violated);
}

bool run(std::uint64_t seed, bool verbose) {
    trace noted(traced_events);
    running_seed = seed;
    running_trace = &noted;
    auto held = true;
    try {
        world w(seed, noted);
        const auto report = w.run();
        if (verbose)
            std::printf("seed %llu: %.0f simulated seconds, %llu events, %llu deliveries, %llu dead letters, %llu recoveries, fingerprint %016llx\n",
                        static_cast<unsigned long long>(seed), report.simulated_seconds, static_cast<unsigned long long>(report.events),
                        static_cast<unsigned long long>(report.deliveries), static_cast<unsigned long long>(report.dead_letters),
                        static_cast<unsigned long long>(report.recoveries), static_cast<unsigned long long>(report.fingerprint));
        std::fflush(stdout);
    } catch (const std::exception& broken) {
        print_failure(broken.what());
        held = false;
    }
    running_trace = nullptr;
    return held;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Runs the broker and its clients under simulated time, network and disk, one seed after another."};
    std::uint64_t seed = 0, first = 1, count = 0;
    bool quiet = false, go_on = false;
    auto* one = app.add_option("--seed", seed, "run this seed alone");
    app.add_option("--seed-start", first, "the first of the seeds to run")->excludes(one);
    app.add_option("--seeds", count, "how many seeds to run")->excludes(one);
    app.add_option("--trace", traced_events, "how many events to print of a failing seed")->check(CLI::PositiveNumber);
    app.add_flag("--quiet", quiet, "one line at the end, not one for each seed");
    app.add_flag("--go-on", go_on, "run the other seeds after one has failed");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        const auto code = app.exit(e);
        return code == 0 ? 0 : exit_usage;
    }
    if (one->count() == 0 && count == 0) {
        std::fprintf(stderr, "millrace-sim: give --seed S, or --seed-start S --seeds N\n");
        return exit_usage;
    }
    std::signal(SIGABRT, on_abort);
    if (one->count() > 0) return run(seed, true) ? 0 : exit_violated;
    std::uint64_t failed = 0;
    for (auto s = first; s < first + count; ++s) {
        if (run(s, !quiet)) continue;
        ++failed;
        if (!go_on) return exit_violated;
    }
    if (failed > 0) std::printf("%llu of %llu seeds failed\n", static_cast<unsigned long long>(failed), static_cast<unsigned long long>(count));
    if (failed > 0) return exit_violated;
    std::printf("%llu seeds from %llu: every promise was kept\n", static_cast<unsigned long long>(count), static_cast<unsigned long long>(first));
    return 0;
}
