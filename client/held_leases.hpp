// What a consumer has been given and has not settled: makes each ack count once, and knows how much credit it frees.
#pragma once

#include <compare>
#include <map>
#include <utility>
#include <vector>

#include "client/event.hpp"

namespace millrace::client {

class held_leases {
public:
    held_leases() = default;
    held_leases(held_leases&& other) noexcept { *this = std::move(other); }
    held_leases& operator=(held_leases&& other) noexcept {
        runs_ = std::move(other.runs_);
        last_ = runs_.end();  // what stood there may have been the other's end, which does not move with its content
        other.last_ = other.runs_.end();
        return *this;
    }

    /// Credit that comes free.
    struct freed {
        std::uint32_t messages = 0;
        std::uint64_t bytes = 0;
    };

    /// A run of deliveries came; `sizes` are the bytes of their records. A run held already is replaced: what was left of it is freed.
    freed add(std::uint32_t partition, std::uint32_t attempt, sequence first, std::vector<std::uint32_t> sizes);

    /// One message leaves. Nothing is freed when it is not held (any more).
    freed remove(std::uint32_t partition, std::uint32_t attempt, sequence one);

    /// The bytes of a held message's record; 0 when it is not held.
    std::uint32_t size_of(std::uint32_t partition, std::uint32_t attempt, sequence one);

    /// Calls `take(partition, attempt, sequence)` for every message held, in order.
    template <class Take>
    void for_each(Take take) const {
        for (const auto& [at, held] : runs_)
            for (std::size_t i = 0; i < held.sizes.size(); ++i)
                if (held.sizes[i] > 0) take(at.partition, at.attempt, at.first + i);
    }

    bool empty() const noexcept { return runs_.empty(); }

private:
    struct place {
        std::uint32_t partition;
        std::uint32_t attempt;
        sequence first;

        auto operator<=>(const place&) const = default;
    };

    struct run {
        std::vector<std::uint32_t> sizes;  // 0: has left
        std::uint32_t left = 0;
    };

    using run_map = std::map<place, run>;

    run_map::iterator find(std::uint32_t partition, std::uint32_t attempt, sequence one);

    run_map runs_;
    run_map::iterator last_ = runs_.end();  // acks come in runs too: the next one is mostly here
};

}  // namespace millrace::client
