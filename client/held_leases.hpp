// What a consumer has been given and has not settled: makes each ack count once, and knows what it takes of the credit.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "client/event.hpp"

namespace millrace::client {

/// Messages, and the bytes of their records; below zero where more came than was given.
struct credit {
    std::int64_t messages = 0;
    std::int64_t bytes = 0;

    credit operator-(const credit& other) const { return {messages - other.messages, bytes - other.bytes}; }
    credit at_least_none() const { return {std::max<std::int64_t>(messages, 0), std::max<std::int64_t>(bytes, 0)}; }
};

/// One delivery of a message. A broker that forgot its leases gives a message again with the same attempt: then the connection tells which is meant.
struct lease {
    std::uint32_t partition;
    std::uint32_t attempt;
    sequence at;
    std::uint32_t connection;  // that it came by

    auto operator<=>(const lease&) const = default;
};

class held_leases {
public:
    held_leases() = default;
    held_leases(held_leases&& other) noexcept { *this = std::move(other); }
    held_leases& operator=(held_leases&& other) noexcept {
        runs_ = std::move(other.runs_);
        total_ = std::exchange(other.total_, {});
        last_ = runs_.end();  // what stood there may have been the other's end, which does not move with its content
        other.last_ = other.runs_.end();
        return *this;
    }

    /// A run of deliveries came; `sizes` are the bytes of their records. A run held already is replaced.
    void add(const lease& first, std::vector<std::uint32_t> sizes);

    /// One message leaves. False when it is not held (any more).
    bool remove(const lease& one);

    /// The bytes of a held message's record; 0 when it is not held.
    std::uint32_t size_of(const lease& one);

    /// Calls `take(lease)` for every message held, in order.
    template <class Take>
    void for_each(Take take) const {
        for (const auto& [at, held] : runs_)
            for (std::size_t i = 0; i < held.sizes.size(); ++i)
                if (held.sizes[i] > 0) take(lease{at.partition, at.attempt, at.first + i, at.connection});
    }

    bool empty() const noexcept { return runs_.empty(); }
    /// Of what is held.
    credit total() const noexcept { return total_; }

private:
    struct place {
        std::uint32_t connection;
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

    run_map::iterator find(const lease& one);

    run_map runs_;
    credit total_;
    run_map::iterator last_ = runs_.end();  // acks come in runs too: the next one is mostly here
};

}  // namespace millrace::client
