// Reads what nobody reads: entries that lie for weeks before a consumer comes, so that a bit that has turned over meanwhile is found, named and told of while
// backups are still at hand. One entry after the other, topic by topic, at a set rate; what is damaged is passed over as if a consumer had met it.
//
//   pass  ├─ topic 1 ─┤├─ topic 2 ─┤ … ├─ topic n ─┤      next pass: a day after this one began, or at once when it took longer
//
// A plain class, as the driver that runs it. What it reads goes past the caches.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "broker/core/shard.hpp"

namespace millrace::driver {

struct read_request;

class scrubber {
public:
    /// 0: it never reads.
    explicit scrubber(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}

    /// When it wants to be asked; none while it reads, or never.
    std::optional<timestamp> due() const;

    /// The read that is due, if there is one. REQUIRES due() <= now.
    std::optional<read_request> next(timestamp now, const core::shard& shard);

    bool is_reading(const read_request& request) const;

    /// What was under way has ended: after so many bytes, in front of `next`; none: the partition had no more.
    void done(timestamp now, std::optional<sequence> next, std::uint64_t bytes);
    /// It could not be read: the same again in a minute.
    void failed(timestamp now);

    std::uint64_t bytes_read() const { return bytes_read_; }
    std::uint64_t passes() const { return passes_; }

private:
    std::uint64_t rate_;
    timestamp due_{};
    timestamp pass_began_;
    std::pair<core::partition_id, sequence> at_;  // what it reads, or goes on from
    bool reading_ = false;
    bool in_pass_ = false;
    std::uint64_t bytes_read_ = 0;
    std::uint64_t passes_ = 0;  // ended
};

}  // namespace millrace::driver
