// A disk of its own for a store: a file system of a given size that a test fills without harm to anybody. ext4 on a loop device, as a broker has it, or tmpfs
// where there is no loop device. It is mounted where only this process and its children see it, and goes when they do. Linux, root.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "tests/process/broker_process.hpp"

namespace millrace::process {

class small_disk {
public:
    /// Throws std::runtime_error with the reason when this process may not mount.
    explicit small_disk(std::uint64_t bytes);
    ~small_disk();
    small_disk(const small_disk&) = delete;
    small_disk& operator=(const small_disk&) = delete;

    std::filesystem::path path() const { return scratch_.path() / "disk"; }
    std::string store() const { return "rocksdb:" + (path() / "store").string(); }
    const std::string& kind() const { return kind_; }

    std::uint64_t free_bytes() const;
    std::uint64_t bytes() const;

    /// What somebody else writes there: a file that takes all but `left`.
    void fill_up(std::uint64_t left);
    void remove_filling();

private:
    scratch_directory scratch_;
    std::string kind_;
};

}  // namespace millrace::process
