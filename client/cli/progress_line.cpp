#include "client/cli/progress_line.hpp"

#include <cstdio>

#include <unistd.h>

namespace millrace::cli {
namespace {

constexpr auto interval = std::chrono::milliseconds(200);

}  // namespace

bool prints_to_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

progress_line::progress_line(std::string verb, std::optional<std::uint64_t> of)
    : verb_(std::move(verb)), of_(of), hidden_(::isatty(STDERR_FILENO) != 1), next_(std::chrono::steady_clock::now() + interval) {}

progress_line::~progress_line() {
    if (!hidden_ && done_ > 0) write("\n");
}

void progress_line::show(std::uint64_t done) {
    done_ = done;
    if (hidden_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + interval;
    write("");
}

void progress_line::write(const char* end) {
    const auto of = of_ ? " of " + std::to_string(*of_) : std::string();
    std::fprintf(stderr, "\r%s %llu%s%s", verb_.c_str(), static_cast<unsigned long long>(done_), of.c_str(), end);
    std::fflush(stderr);
}

}  // namespace millrace::cli
