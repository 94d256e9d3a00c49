// A program under test as a child of the test: started with its arguments, watched by its own descriptor, and gone when the object is,
// or when the test itself dies. Linux only (pidfd, memfd). Not thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace millrace::process {

using namespace std::chrono_literals;
using milliseconds = std::chrono::milliseconds;

/// What everything here waits for at most; a condition that has not come by then never will.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // which take their time
inline constexpr milliseconds patience{240'000};
#else
inline constexpr milliseconds patience{60'000};
#endif

/// An environment variable for the children that are started while it is there.
class environment_variable {
public:
    environment_variable(std::string name, const std::string& value);
    ~environment_variable();
    environment_variable(const environment_variable&) = delete;
    environment_variable& operator=(const environment_variable&) = delete;

private:
    std::string name_;
};

/// Exit codes of a child that was killed by signal S are signaled + S.
inline constexpr int signaled = 1000;

class child_process {
public:
    /// `program` is a path. Its stdin holds `input` and then ends. Throws std::system_error.
    child_process(const std::string& program, const std::vector<std::string>& arguments, const std::string& input = {});
    child_process(child_process&& other) noexcept;
    child_process& operator=(child_process&& other) noexcept;
    ~child_process();

    pid_t pid() const { return pid_; }
    bool running() const { return pid_ > 0 && !exit_code_; }

    /// No effect on one that has ended.
    void send(int signal);

    /// The exit code, or nullopt when it still runs after so long.
    std::optional<int> wait(milliseconds at_most = patience);

    /// Kills it as a power cut would, and waits.
    void kill();

    /// The next line of stdout, without its newline; nullopt when stdout ends or `at_most` passes first.
    std::optional<std::string> read_line(milliseconds at_most = patience);

    /// The rest of stdout up to its end, nullopt after so long. Reads as much as a pipe holds or more, so that the child need not wait.
    std::optional<std::string> read_rest(milliseconds at_most = patience);

    /// All that it wrote to stderr so far.
    std::string errors() const;

    /// Returns when it has written these words to stderr. Throws std::runtime_error with what it wrote when they do not come.
    void wait_for_words(const std::string& words) const;

private:
    bool read_more(std::chrono::steady_clock::time_point until);
    void release() noexcept;

    pid_t pid_ = -1;
    int pid_descriptor_ = -1;
    int out_ = -1;     // read end of a pipe
    int errors_ = -1;  // a file in memory
    bool out_ended_ = false;
    std::string pending_;
    std::optional<int> exit_code_;
};

struct command_result {
    int code = -1;
    std::string out;
    std::string err;
};

/// Runs a program to its end. Throws std::runtime_error when it does not end within `patience`.
command_result run_command(const std::string& program, const std::vector<std::string>& arguments, const std::string& input = {});

}  // namespace millrace::process
