// What the disk does by itself, measured in the same minute as the broker on it: a result without it says nothing, for disks vary by
// the hour. Appends to one file, fdatasync after each, as a write-ahead log does.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "millrace/error.hpp"

namespace millrace::bench {

struct disk_speed {
    double bytes_per_second = 0;                   // 256 KiB appends, fdatasync each
    std::chrono::nanoseconds small_sync_p50{0};   // 4 KiB append and fdatasync together
    std::chrono::nanoseconds small_sync_p99{0};
};

/// Of one disk; what it measures several times is told together. For one thread.
class disk_probe {
public:
    explicit disk_probe(std::filesystem::path directory) : directory_(std::move(directory)) {}

    /// Half of `time` goes to each part. Writes a file of its own in the directory, removes it. Errors: storage_failure; invalid_argument for too short a time.
    error measure(std::chrono::milliseconds time);

    /// REQUIRES: it has been measured.
    disk_speed speed() const;

private:
    error failed() const;

    const std::filesystem::path directory_;
    std::uint64_t appended_ = 0;  // bytes
    std::chrono::nanoseconds appending_{0};
    std::vector<std::chrono::nanoseconds> small_syncs_;
};

}  // namespace millrace::bench
