// A subscription: its progress in every partition, and the consumers that share its messages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "broker/core/entry_index.hpp"
#include "broker/core/identity.hpp"
#include "broker/core/progress.hpp"
#include "broker/core/row.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

struct consumer {
    holder_id id;
    subscription_id subscription{};
    std::string name;
    std::uint64_t messages = 0;  // credit: what may still be sent
    std::int64_t bytes = 0;      // below zero when the last message went beyond it
    std::uint64_t held = 0;      // messages leased to it
    bool active = false;         // its Subscribed answer has left
    bool hungry = false;         // stands in the subscription's queue

    /// A message of any size: the last one may go beyond the bytes, and one that holds nothing gets a message whatever they are.
    bool wants() const { return active && messages > 0 && (bytes > 0 || held == 0); }

    void give_bytes(std::uint64_t more) {
        const auto max = static_cast<std::int64_t>(limits::credit_bytes);
        bytes = std::min(bytes + static_cast<std::int64_t>(std::min<std::uint64_t>(more, limits::credit_bytes)), max);
    }

    /// How many records from `first` to at most `last` its bytes reach for; at least one.
    std::uint64_t reaches(const entry_index& index, sequence first, sequence last) const {
        const auto before_last = static_cast<std::uint64_t>(std::max<std::int64_t>(bytes - 1, 0));
        return std::min(index.count_within(first, last, before_last) + 1, last - first + 1);
    }

    /// Whether it could take all of the entry behind `given`, and more.
    bool reaches_beyond(const entry_index& index, sequence given) const {
        return messages > index.last() - given && bytes > static_cast<std::int64_t>(index.bytes() - index.bytes_before(given + 1));
    }
};

struct subscription {
    subscription_row row;
    std::vector<progress> partitions;
    std::uint32_t consumers = 0;
    std::uint64_t deliveries = 0;    // messages given out since the shard was opened
    std::uint64_t redeliveries = 0;  // of them, those that had failed before

    /// What is stored of it contradicts itself, in words: it is in quarantine. Nobody consumes it, nothing of it changes, and no entry that it may need is
    /// freed, until it is repaired or deleted. Its `partitions` are there, and what they say is not to be believed.
    error inconsistent;

    /// Consumers with credit, in the order in which they are served: each gets one run and goes to the back.
    std::deque<consumer*> hungry;
    /// Partitions that may have something ready.
    std::set<std::uint32_t> work;
    std::uint32_t next_partition = 0;
};

}  // namespace millrace::core
