// The broker under test, on a host and a disk of its own, at the same place in each of its lives. Every other life is the shipped program; the lives between are
// the same with a disk that fails and crawls on demand (tests/process/faulty_store.cpp).
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/blackbox/network.hpp"
#include "tests/process/broker_process.hpp"
#include "tests/process/small_disk.hpp"

namespace millrace::blackbox {

class broker_under_test {
public:
    broker_under_test(host& on, process::small_disk& disk);
    ~broker_under_test();

    /// Until it serves. Throws with its words when it does not.
    void start();

    /// Whether its wall clock can be set.
    bool has_clock() const;
    /// So far from the true one, from now on; it reads it when it starts.
    void set_clock(std::chrono::seconds ahead);
    /// Whether the next life has another clock than the last one began with.
    bool is_clock_changed() const { return clock_ != clock_at_start_; }
    /// kill -9, and waits.
    void kill();
    /// SIGTERM; the exit code.
    int stop();
    void send(int signal);

    /// Starts it, and kills it before it serves, or when it does.
    void start_and_kill(process::milliseconds after);

    /// It is about to end by itself; the exit code, or none within so long.
    void expect_end();
    std::optional<int> wait_for_end(process::milliseconds at_most);

    // ---- its disk, in a life that has the faulty one ----

    bool has_faulty_disk() const { return lives_ % 2 == 0; }
    /// The next write, or sync, of its log fails: "fail-write", "fail-sync".
    void fail_once(const std::string& fault);
    bool has_struck(const std::string& fault) const;
    /// Each sync takes so long; none: as long as it takes.
    void slow_down(process::milliseconds each);

    /// The exit code, when it has ended though nobody asked it to.
    std::optional<int> ended_unasked();

    /// HOST:PORT
    const std::string& address() const { return listen_; }
    /// The end of what it has logged.
    std::string last_words();

private:
    host& host_;
    process::small_disk& disk_;
    std::string listen_;
    scratch_directory scratch_;
    std::chrono::seconds clock_{0}, clock_at_start_{0};
    const char* program() const { return has_faulty_disk() ? MILLRACED_FAULTY_PATH : MILLRACED_PATH; }
    std::vector<std::string> arguments() const;
    /// The program and its arguments, with a wall clock that can be set.
    std::vector<std::string> command() const;
    std::filesystem::path clock_file() const { return scratch_.path() / "clock"; }
    std::filesystem::path faults() const { return scratch_.path() / "faults"; }

    unsigned lives_ = 0;
    std::optional<process::broker_process> process_;
    bool is_asked_to_end_ = false;
};

}  // namespace millrace::blackbox
