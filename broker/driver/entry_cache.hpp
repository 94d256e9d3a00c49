// Entries kept in memory by bytes: the tail, which readers that keep up live on, and what was read for those that catch up.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "broker/core/identity.hpp"
#include "broker/driver/stored_entry.hpp"

namespace millrace::driver {

/// First in, first out: a log is read in order, so the oldest entry is the least likely to be asked for again. One thread.
class entry_cache {
public:
    explicit entry_cache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

    void insert(core::partition_id partition, cached_entry entry);

    /// The entry that holds `s`; nullptr when it is not here.
    const cached_entry* find(core::partition_id partition, sequence s) const;

    /// The entry that ends in `last` is no more.
    void forget(core::partition_id partition, sequence last);
    void forget(core::partition_id partition);

    std::size_t bytes() const { return bytes_; }

private:
    using key = std::pair<core::partition_id, sequence>;  // the entry's last sequence

    std::size_t bytes_max_;
    std::size_t bytes_ = 0;
    std::map<key, cached_entry> entries_;
    std::deque<key> order_;
};

}  // namespace millrace::driver
