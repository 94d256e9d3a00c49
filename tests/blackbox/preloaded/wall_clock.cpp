// Preloaded into a broker, it moves its wall clock: ahead of the machine's by the nanoseconds that stand, as 8 bytes, in the file that MILLRACE_WALL_CLOCK names, at
// once when they change. Clocks that measure stay. (libfaketime moves the timers of epoll too: with it a loop of Asio sleeps for ever.)
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

using clock_reader = int (*)(clockid_t, timespec*);

constexpr std::int64_t second = 1'000'000'000;

const std::atomic<std::int64_t>* ahead = nullptr;
clock_reader machine_clock = nullptr;

[[gnu::constructor]] void begin() {
    machine_clock = reinterpret_cast<clock_reader>(::dlsym(RTLD_NEXT, "clock_gettime"));
    const char* path = std::getenv("MILLRACE_WALL_CLOCK");
    const int file = path ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void* place = ::mmap(nullptr, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (place != MAP_FAILED) ahead = static_cast<const std::atomic<std::int64_t>*>(place);
    ::close(file);
}

int read_clock(clockid_t which, timespec* t) {
    const auto result = machine_clock ? machine_clock(which, t) : static_cast<int>(::syscall(SYS_clock_gettime, which, t));
    if (result != 0 || !ahead || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return result;
    const auto moved = t->tv_sec * second + t->tv_nsec + ahead->load(std::memory_order_relaxed);
    t->tv_sec = moved / second;
    t->tv_nsec = moved % second;
    return 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t which, timespec* t) noexcept { return read_clock(which, t); }

int gettimeofday(timeval* t, void*) noexcept {
    timespec now{};
    if (const auto result = read_clock(CLOCK_REALTIME, &now); result != 0) return result;
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t* t) noexcept {
    timespec now{};
    read_clock(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
}
