#include "tests/process/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace millrace::process {
namespace {

using clock = std::chrono::steady_clock;

int checked(int outcome, const char* what) {
    if (outcome < 0) throw std::system_error(errno, std::generic_category(), what);
    return outcome;
}

int file_in_memory(const char* name, const std::string& content) {
    const int file = checked(::memfd_create(name, MFD_CLOEXEC), "memfd_create");
    for (std::size_t written = 0; written < content.size();)
        written += static_cast<std::size_t>(checked(static_cast<int>(::write(file, content.data() + written, content.size() - written)), "write"));
    checked(static_cast<int>(::lseek(file, 0, SEEK_SET)), "lseek");
    return file;
}

/// Returns false when `until` comes first.
bool readable(int descriptor, clock::time_point until) {
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(until - clock::now()).count();
        pollfd waited{descriptor, POLLIN, 0};
        const int ready = ::poll(&waited, 1, left > 0 ? static_cast<int>(left) : 0);
        if (ready > 0) return true;
        if (ready == 0 && left <= 0) return false;
        if (ready < 0 && errno != EINTR) checked(ready, "poll");
    }
}

/// In the child, between fork and exec: system calls only.
[[noreturn]] void become(const char* program, char* const* argv, int in, int out, int err) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(in, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::execv(program, argv);
    ::_exit(127);
}

void close_if_open(int& descriptor) noexcept {
    if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
}

}  // namespace

child_process::child_process(const std::string& program, const std::vector<std::string>& arguments, const std::string& input) {
    std::vector<std::string> all{program};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& a : all) argv.push_back(a.data());
    argv.push_back(nullptr);

    int in = file_in_memory("stdin", input);
    errors_ = file_in_memory("stderr", {});
    int ends[2];
    checked(::pipe2(ends, O_CLOEXEC), "pipe2");
    out_ = ends[0];
    ::setenv("MILLRACE_ADMIN", "127.0.0.1:0", 0);  // brokers of tests that run at the same time must not meet at the default port
    pid_ = checked(::fork(), "fork");
    if (pid_ == 0) become(program.c_str(), argv.data(), in, ends[1], errors_);
    close_if_open(in);
    close_if_open(ends[1]);
    pid_descriptor_ = checked(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open");
}

child_process::child_process(child_process&& other) noexcept { *this = std::move(other); }

child_process& child_process::operator=(child_process&& other) noexcept {
    if (this == &other) return *this;
    release();
    pid_ = std::exchange(other.pid_, -1);
    pid_descriptor_ = std::exchange(other.pid_descriptor_, -1);
    out_ = std::exchange(other.out_, -1);
    errors_ = std::exchange(other.errors_, -1);
    out_ended_ = other.out_ended_;
    pending_ = std::move(other.pending_);
    exit_code_ = std::exchange(other.exit_code_, std::nullopt);
    return *this;
}

child_process::~child_process() { release(); }

void child_process::release() noexcept {
    if (running()) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
    close_if_open(pid_descriptor_);
    close_if_open(out_);
    close_if_open(errors_);
}

void child_process::send(int signal) {
    if (running()) checked(::kill(pid_, signal), "kill");
}

std::optional<int> child_process::wait(milliseconds at_most) {
    if (exit_code_) return exit_code_;
    if (!readable(pid_descriptor_, clock::now() + at_most)) return std::nullopt;
    int status = 0;
    checked(::waitpid(pid_, &status, 0), "waitpid");
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : signaled + WTERMSIG(status);
    return exit_code_;
}

void child_process::kill() {
    send(SIGKILL);
    if (!wait()) throw std::runtime_error("a killed process did not end");
}

bool child_process::read_more(clock::time_point until) {
    if (out_ended_ || !readable(out_, until)) return false;
    char buffer[64 << 10];
    const auto n = ::read(out_, buffer, sizeof buffer);
    if (n > 0) pending_.append(buffer, static_cast<std::size_t>(n));
    if (n == 0) out_ended_ = true;
    return n > 0;
}

std::optional<std::string> child_process::read_line(milliseconds at_most) {
    const auto until = clock::now() + at_most;
    for (;;) {
        if (const auto end = pending_.find('\n'); end != std::string::npos) {
            auto line = pending_.substr(0, end);
            pending_.erase(0, end + 1);
            return line;
        }
        if (!read_more(until)) return std::nullopt;
    }
}

std::optional<std::string> child_process::read_rest(milliseconds at_most) {
    const auto until = clock::now() + at_most;
    while (read_more(until)) {}
    if (!out_ended_) return std::nullopt;
    return std::exchange(pending_, {});
}

std::string child_process::errors() const {
    std::string text;
    char buffer[4096];
    for (off_t at = 0;;) {
        const auto n = ::pread(errors_, buffer, sizeof buffer, at);
        if (n <= 0) return text;
        text.append(buffer, static_cast<std::size_t>(n));
        at += n;
    }
}

void child_process::wait_for_words(const std::string& words) const {
    const auto until = clock::now() + patience;
    while (errors().find(words) == std::string::npos) {
        if (clock::now() > until) throw std::runtime_error("'" + words + "' is not said in: " + errors());
        std::this_thread::sleep_for(5ms);
    }
}

environment_variable::environment_variable(std::string name, const std::string& value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value.c_str(), 1);
}

environment_variable::~environment_variable() { ::unsetenv(name_.c_str()); }

command_result run_command(const std::string& program, const std::vector<std::string>& arguments, const std::string& input) {
    child_process child(program, arguments, input);
    auto out = child.read_rest();
    const auto code = child.wait(out ? patience : 0ms);
    if (!out || !code) throw std::runtime_error(program + " " + (arguments.empty() ? "" : arguments.front()) + " does not end");
    return {*code, std::move(*out), child.errors()};
}

}  // namespace millrace::process
