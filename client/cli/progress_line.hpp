// How far long work is, for somebody who looks on: one line on stderr that is written over, and nothing at all when stderr is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace millrace::cli {

/// What goes to stdout stands on the same screen: both would be unreadable.
bool prints_to_terminal();

class progress_line {
public:
    /// "published 120000", "consumed 300 of 1000"
    explicit progress_line(std::string verb, std::optional<std::uint64_t> of = {});
    /// Leaves the last figure standing.
    ~progress_line();
    progress_line(const progress_line&) = delete;
    progress_line& operator=(const progress_line&) = delete;

    void hide() { hidden_ = true; }

    /// Cheap: written a few times a second.
    void show(std::uint64_t done);

private:
    void write(const char* end);

    std::string verb_;
    std::optional<std::uint64_t> of_;
    bool hidden_;
    std::uint64_t done_ = 0;
    std::chrono::steady_clock::time_point next_;
};

}  // namespace millrace::cli
