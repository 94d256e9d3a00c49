#include "broker/driver/space_gate.hpp"

#include <algorithm>
#include <string>

#include "broker/core/invariant.hpp"

namespace millrace::driver {
namespace {

std::string in_mebibytes(std::uint64_t bytes) {
    return std::to_string(bytes >> 20) + " MiB";
}

}  // namespace

void space_gate::look(const storage::disk_space& disk, std::uint64_t unwritten) {
    seen_ = disk;
    taken_ = 0;
    const auto free = disk.free - std::min(disk.free, cost_of(unwritten));
    room_ = free - std::min(free, disk.reserve);
    spare_ = free - std::min(free, disk.reserve / 2);
    open_ = disk.reserve == 0 || free >= (open_ ? disk.reserve : reopens_at());
}

bool space_gate::admits(std::uint64_t bytes) {
    if (!seen_ || seen_->reserve == 0) return true;
    if (taken_ + cost_of(bytes) > allowance()) open_ = false;
    return open_;
}

bool space_gate::admits_move(std::uint64_t bytes) const {
    return !seen_ || seen_->reserve == 0 || (spare_ > 0 && taken_ + cost_of(bytes) <= spare_);
}

bool space_gate::wants_look() const {
    return seen_ && open_ && taken_ > 0 && taken_ >= allowance() / 2;
}

error space_gate::refusal() const {
    core::invariant(seen_.has_value(), "a disk is full that nobody has looked at");
    return {errc::disk_full, "the disk of the store has " + in_mebibytes(seen_->free) + " left, and publishing stops below a reserve of " +
                                 in_mebibytes(seen_->reserve) + " (--disk-reserve): consume, purge or delete what is stored, or make room on the disk; " +
                                 "publishing goes on by itself at " + in_mebibytes(reopens_at())};
}

}  // namespace millrace::driver
