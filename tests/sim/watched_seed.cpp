#include "tests/sim/watched_seed.hpp"

#include <sys/time.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace millrace::sim {
namespace {

const watched_seed* running = nullptr;

/// Of the processor, whatever else runs on the machine. 0: none is set.
void alarm_after(unsigned seconds) {
    itimerval once{};
    once.it_value.tv_sec = seconds;
    ::setitimer(ITIMER_PROF, &once, nullptr);
}

void on_signal(int signal) {
    if (running) running->tell(signal == SIGPROF ? "it does not come to an end" : signal == SIGABRT ? "the broker ended itself" : "the broker crashed");
    std::_Exit(exit_violated);
}

}  // namespace

watched_seed::watched_seed(std::uint64_t seed, const trace& noted, std::string again, unsigned seconds_max)
    : seed_(seed), noted_(noted), again_(std::move(again)) {
    running = this;
    for (const auto signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGPROF}) std::signal(signal, on_signal);
    alarm_after(seconds_max);
}

watched_seed::~watched_seed() {
    alarm_after(0);
    running = nullptr;
}

void watched_seed::tell(const char* why) const {
    noted_.print(stderr);
    std::fprintf(stderr, "seed %llu: %s\n  again: %s\n", static_cast<unsigned long long>(seed_), why, again_.c_str());
    std::fflush(stderr);
}

}  // namespace millrace::sim
