// A file on a disk that may lose power: what a program reads, and what of it is on the platter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/random.hpp"

namespace millrace::power {

class inode {
public:
    inode() = default;
    /// All of it is on the platter.
    explicit inode(std::string bytes) : bytes_(std::move(bytes)), synced_(bytes_.size()) {}

    std::string& bytes() { return bytes_; }
    const std::string& bytes() const { return bytes_; }

    void write(std::size_t at, std::string_view data);
    void truncate(std::size_t size);
    void sync();

    /// What it should have covered is lost for good: the operating system takes it for written.
    void fail_sync();

    /// The power is cut: what no sync covered is there, in part, or not. What was written over synced bytes is told from what stands there by `random` page
    /// by page, for the disk writes pages in any order.
    void lose_power(sim::random_source& random);

private:
    struct byte_range {
        std::size_t begin = 0, end = 0;
    };
    struct overwriting {
        std::size_t at = 0;
        std::string old;  // what stood there
    };

    void forget_appended(sim::random_source& random);
    void forget_overwritten(sim::random_source& random);
    void put_back(const std::vector<overwriting>& all);

    std::string bytes_;                     // as a program reads them
    std::size_t synced_ = 0;                // so many of them were there at the last sync
    std::vector<overwriting> overwritten_;  // since then, in order
    std::vector<byte_range> given_up_;      // by a sync that failed: never written, whatever a later one says
    std::vector<overwriting> given_up_overwritten_;
};

}  // namespace millrace::power
