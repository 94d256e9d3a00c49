// Whether there is room on the store's disk for more messages. Pure: it is told what the disk has, and counts what is taken in between.
//
//                        free, less what is taken and not written yet
//   0 ──────── 1/2 ─────── reserve ───────── reserve + 1/4 ───────────►
//     acks,     │ above it    │ it shuts here       │ it opens here again
//     purges    │ the dead move to their topic
//
// A dead message keeps the entry that it is in, with up to a thousand others, until it has moved: a disk that is full would stay full if none did.
//
// Between two looks at the disk at most what is free above the reserve is taken, and 1/16 of the reserve more: however seldom somebody looks, the
// reserve stays. The caller is asked for a look long before that.
#pragma once

#include <cstdint>
#include <optional>

#include "broker/storage/store.hpp"
#include "millrace/error.hpp"

namespace millrace::driver {

class space_gate {
public:
    /// What the disk has; `unwritten` bytes were taken and may not be on it yet.
    void look(const storage::disk_space& disk, std::uint64_t unwritten);

    /// Whether `bytes` may be taken. When they do not fit it shuts, until a look opens it. Open for everything before the first look.
    bool admits(std::uint64_t bytes);

    /// Whether `bytes` may be moved, from where they keep more than themselves.
    bool admits_move(std::uint64_t bytes) const;

    /// They were.
    void took(std::uint64_t bytes) { taken_ += cost_of(bytes); }

    bool is_open() const { return open_; }

    /// Whether half of what may be taken has been.
    bool wants_look() const;

    /// disk_full, in words. REQUIRES: it has looked.
    error refusal() const;

    const std::optional<storage::disk_space>& seen() const { return seen_; }

private:
    /// What is taken goes to the log first and then, while the log is still there, to where it stays.
    static constexpr std::uint64_t cost_of(std::uint64_t bytes) { return 2 * bytes; }
    std::uint64_t reopens_at() const { return seen_->reserve + seen_->reserve / 4; }
    std::uint64_t allowance() const { return room_ + seen_->reserve / 16; }

    std::optional<storage::disk_space> seen_;
    std::uint64_t room_ = 0;   // above the reserve, at the last look
    std::uint64_t spare_ = 0;  // above half of the reserve, then
    std::uint64_t taken_ = 0;  // since then, at cost
    bool open_ = true;
};

}  // namespace millrace::driver
