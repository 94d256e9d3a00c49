#include "bench/disk_probe.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <vector>

namespace millrace::bench {
namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t large_append = 256u << 10;
constexpr std::size_t small_append = 4u << 10;
constexpr std::uint64_t file_bytes_max = 2ull << 30;  // then it begins again: a probe does not fill the disk

class probe_file {
public:
    explicit probe_file(std::filesystem::path path)
        : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600)) {}

    ~probe_file() {
        if (descriptor_ >= 0) {
            ::close(descriptor_);
            ::unlink(path_.c_str());
        }
    }
    probe_file(const probe_file&) = delete;
    probe_file& operator=(const probe_file&) = delete;

    bool is_open() const { return descriptor_ >= 0; }

    bool append_and_sync(const std::vector<char>& bytes, std::size_t size) {
        if (written_ + size > file_bytes_max) {
            if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) {
                return false;
            }
            written_ = 0;
        }
        written_ += size;
        return ::write(descriptor_, bytes.data(), size) == static_cast<ssize_t>(size) && ::fdatasync(descriptor_) == 0;
    }

private:
    const std::filesystem::path path_;
    const int descriptor_;
    std::uint64_t written_ = 0;
};

std::vector<char> incompressible(std::size_t size) {
    std::mt19937_64 random(1);
    std::vector<char> bytes(size);
    std::generate(bytes.begin(), bytes.end(), [&random] { return static_cast<char>(random()); });
    return bytes;
}

}  // namespace

error disk_probe::failed() const {
    return {errc::storage_failure, "the disk of " + directory_.string() + " cannot be probed: " + ::strerror(errno)};
}

error disk_probe::measure(std::chrono::milliseconds time) {
    const auto bytes = incompressible(large_append);
    probe_file file(directory_ / "disk.probe");
    if (!file.is_open()) {
        return failed();
    }
    const auto begin = steady::now();
    auto now = begin;
    for (; now < begin + time / 2; now = steady::now()) {
        if (!file.append_and_sync(bytes, large_append)) {
            return failed();
        }
        appended_ += large_append;
    }
    appending_ += now - begin;

    for (auto from = now; now < from + time / 2;) {
        const auto before = now;
        if (!file.append_and_sync(bytes, small_append)) {
            return failed();
        }
        now = steady::now();
        small_syncs_.push_back(now - before);
    }
    if (small_syncs_.empty()) {
        return {errc::invalid_argument, "a disk probe needs more time than " + std::to_string(time.count()) + " ms"};
    }
    return {};
}

disk_speed disk_probe::speed() const {
    auto times = small_syncs_;
    std::sort(times.begin(), times.end());
    return {.bytes_per_second = static_cast<double>(appended_) / std::chrono::duration<double>(appending_).count(),
            .small_sync_p50 = times[times.size() / 2],
            .small_sync_p99 = times[times.size() * 99 / 100]};
}

}  // namespace millrace::bench
