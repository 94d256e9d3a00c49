// millrace-sim --seed S | --seed-start S --seeds N [--coverage]: runs the simulator; prints the failing seed and its trace; exits 0 when all holds.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <new>
#include <thread>

#include "tests/sim/watched_seed.hpp"
#include "tests/sim/world.hpp"

namespace {

using namespace millrace::sim;

constexpr int exit_usage = 2;
constexpr unsigned seed_seconds_max = 120;  // of a seed that takes a tenth of one
std::size_t traced_events = 400;
bool counts_coverage = false;

/// What the processes that run seeds share.
struct tally {
    std::atomic<std::uint64_t> next{0};  // how many seeds have been begun
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> events{0};
    std::atomic<std::uint64_t> simulated_milliseconds{0};
    coverage seen;
};

bool run(std::uint64_t seed, bool verbose, tally& sums) {
    trace noted(traced_events);
    const watched_seed watched(seed, noted, "millrace-sim --seed " + std::to_string(seed), seed_seconds_max);
    auto held = true;
    try {
        world w(seed, noted);
        if (counts_coverage) w.count_into(&sums.seen);
        const auto report = w.run();
        sums.events += report.events;
        sums.simulated_milliseconds += static_cast<std::uint64_t>(report.simulated_seconds * 1000);
        if (verbose)
            std::printf("seed %llu: %.0f simulated seconds, %llu events, %llu clients, %llu deliveries, %llu dead letters, %llu recoveries, fingerprint %016llx\n",
                        static_cast<unsigned long long>(seed), report.simulated_seconds, static_cast<unsigned long long>(report.events),
                        static_cast<unsigned long long>(report.clients), static_cast<unsigned long long>(report.deliveries), static_cast<unsigned long long>(report.dead_letters),
                        static_cast<unsigned long long>(report.recoveries), static_cast<unsigned long long>(report.fingerprint));
        std::fflush(stdout);
    } catch (const std::exception& broken) {
        watched.tell(broken.what());
        held = false;
    }
    return held;
}

struct wanted_seeds {
    std::uint64_t first = 1, count = 0;
    bool quiet = false, go_on = false;
};

/// One process of several: a seed that ends its process is told as any other.
void run_share(const wanted_seeds& wanted, tally& sums) {
    for (auto n = sums.next++; n < wanted.count; n = sums.next++) {
        if (run(wanted.first + n, !wanted.quiet, sums)) continue;
        ++sums.failed;
        if (!wanted.go_on) sums.next = wanted.count;
    }
}

std::uint64_t run_all(const wanted_seeds& wanted, unsigned jobs, tally& sums) {
    std::uint64_t running = 0;
    const auto begin = [&] {
        std::fflush(stdout);
        if (fork() == 0) {
            run_share(wanted, sums);
            std::_Exit(0);
        }
        ++running;
    };
    while (running < jobs) begin();
    for (int status = 0; running > 0; --running) {
        if (wait(&status) < 0) break;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        ++sums.failed;
        if (!wanted.go_on) sums.next = wanted.count;
        else if (sums.next < wanted.count) begin();
    }
    return sums.failed;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Runs the broker and its clients under simulated time, network and disk, one seed after another."};
    std::uint64_t seed = 0;
    wanted_seeds wanted;
    auto jobs = std::max(1u, std::thread::hardware_concurrency());
    auto* one = app.add_option("--seed", seed, "run this seed alone");
    app.add_option("--seed-start", wanted.first, "the first of the seeds to run")->excludes(one)->envname("MILLRACE_SEED_START");
    app.add_option("--seeds", wanted.count, "how many seeds to run")->excludes(one);
    app.add_option("--jobs", jobs, "processes that share them; default: one for each core")->check(CLI::Range(1, 256));
    app.add_option("--trace", traced_events, "how many events to print of a failing seed")->check(CLI::PositiveNumber);
    app.add_flag("--quiet", wanted.quiet, "one line at the end, not one for each seed");
    app.add_flag("--coverage", counts_coverage, "at the end: which requests met the broker in which states, how they were answered, and what was never seen");
    app.add_flag("--go-on", wanted.go_on, "run the other seeds after one has failed");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        const auto code = app.exit(e);
        return code == 0 ? 0 : exit_usage;
    }
    if (one->count() == 0 && wanted.count == 0) {
        std::fprintf(stderr, "millrace-sim: give --seed S, or --seed-start S --seeds N\n");
        return exit_usage;
    }
    void* const shared = mmap(nullptr, sizeof(tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        std::perror("millrace-sim: mmap");
        return exit_violated;
    }
    auto& sums = *new (shared) tally;
    if (one->count() > 0) {
        const auto held = run(seed, true, sums);
        if (counts_coverage) sums.seen.print(stdout);
        return held ? 0 : exit_violated;
    }

    const auto began = std::chrono::steady_clock::now();
    const auto failed = run_all(wanted, static_cast<unsigned>(std::min<std::uint64_t>(jobs, wanted.count)), sums);
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    const auto hours = static_cast<double>(sums.simulated_milliseconds.load()) / 3'600'000;
    if (failed > 0) std::printf("%llu of %llu seeds failed\n", static_cast<unsigned long long>(failed), static_cast<unsigned long long>(wanted.count));
    else std::printf("%llu seeds from %llu: every promise was kept\n", static_cast<unsigned long long>(wanted.count), static_cast<unsigned long long>(wanted.first));
    std::printf("%.1f s, %.1f million events, %.1f simulated hours, %.2f of them in a second\n", seconds, static_cast<double>(sums.events.load()) / 1e6, hours,
                hours / seconds);
    if (counts_coverage) sums.seen.print(stdout);
    return failed > 0 ? exit_violated : 0;
}
