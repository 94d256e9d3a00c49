// What the disk does by itself, measured in the same minute as the broker on it: a result without it says nothing, for disks vary by
// the hour. Appends to one file, fdatasync after each, as a write-ahead log does.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

#include "millrace/error.hpp"

namespace millrace::bench {

struct disk_speed {
    double bytes_per_second = 0;                   // 256 KiB appends, fdatasync each
    std::chrono::nanoseconds small_sync_p50{0};   // 4 KiB append and fdatasync together
    std::chrono::nanoseconds small_sync_p99{0};
};

/// Half of `time` goes to each part. Writes a file of its own in `directory`, removes it. Errors: storage_failure.
result<disk_speed> probe_disk(const std::filesystem::path& directory, std::chrono::milliseconds time);

}  // namespace millrace::bench
