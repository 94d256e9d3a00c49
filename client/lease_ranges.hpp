// Leases that share a fate, such as acks on their way out, kept as ranges: a consumer that acks in order sends one range however many messages it settles.
#pragma once

#include <vector>

#include "client/event.hpp"

namespace millrace::client {

/// Messages from first to last of one partition that were given with the same attempt.
struct lease_range {
    std::uint32_t partition = 0;
    std::uint32_t attempt = 0;
    sequence first, last;

    bool operator==(const lease_range&) const = default;
};

class lease_ranges {
public:
    void add(std::uint32_t partition, std::uint32_t attempt, sequence one) { add({partition, attempt, one, one}); }
    void add(const lease_range& range);

    /// Takes out what `range` covers. Returns whether there was any.
    bool remove(const lease_range& range);

    bool empty() const noexcept { return ranges_.empty(); }

    /// At most `max` ranges, merged as far as they touch, ordered by partition, attempt and sequence. The rest stays.
    std::vector<lease_range> take(std::size_t max);

    const std::vector<lease_range>& all() const noexcept { return ranges_; }

private:
    std::vector<lease_range> ranges_;  // as they came; only the last one grows
};

}  // namespace millrace::client
