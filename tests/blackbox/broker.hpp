// The broker under test: the shipped program, on a host and a disk of its own, at the same place in each of its lives.
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
    std::vector<std::string> arguments() const;
    /// The program and its arguments, with a wall clock that can be set.
    std::vector<std::string> command() const;
    std::filesystem::path clock_file() const { return scratch_.path() / "clock"; }

    std::optional<process::broker_process> process_;
    bool is_asked_to_end_ = false;
};

}  // namespace millrace::blackbox
