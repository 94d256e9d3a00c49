// Where the messages of one entry stand: all that the core needs to know of payload.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "millrace/message.hpp"

namespace millrace::core {

/// Immutable once shared. Sizes are those of the records; what the store wraps around them is not counted.
struct entry_index {
    struct batch {
        sequence first;
        std::uint32_t count = 0;
        timestamp appended_at;

        sequence last() const { return first + (count - 1); }
        bool operator==(const batch&) const = default;
    };

    sequence first;
    std::vector<batch> batches;       // ascending, without gaps, at least one
    std::vector<std::uint32_t> ends;  // [i]: bytes of records 0..i

    sequence last() const { return first + (ends.size() - 1); }
    std::uint64_t count() const { return ends.size(); }
    bool contains(sequence s) const { return s >= first && s - first < ends.size(); }
    std::uint32_t bytes() const { return ends.back(); }

    /// Bytes of all records before `s`.
    std::uint32_t bytes_before(sequence s) const { return s == first ? 0 : ends[s - first - 1]; }

    /// Bytes of the records from `from` to `to`, both included.
    std::uint32_t bytes_between(sequence from, sequence to) const { return ends[to - first] - bytes_before(from); }

    /// How many records from `from` to at most `to` fit into `budget` bytes.
    std::uint64_t count_within(sequence from, sequence to, std::uint64_t budget) const {
        const auto limit = bytes_before(from) + budget;
        const auto begin = ends.begin() + static_cast<std::ptrdiff_t>(from - first);
        const auto end = ends.begin() + static_cast<std::ptrdiff_t>(to - first) + 1;
        return static_cast<std::uint64_t>(std::upper_bound(begin, end, limit) - begin);
    }

    /// The batch that holds `s`, as a position in `batches`.
    std::size_t batch_of(sequence s) const {
        const auto after = std::upper_bound(batches.begin(), batches.end(), s, [](sequence x, const batch& b) { return x < b.first; });
        return static_cast<std::size_t>(after - batches.begin()) - 1;
    }
};

using shared_index = std::shared_ptr<const entry_index>;

}  // namespace millrace::core
