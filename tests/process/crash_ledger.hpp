// What producers and consumers know for certain while a broker is killed again and again, and what contradicts it. No IO.
//
// A message is known by its id, from which all of its content follows. What a broker has answered holds for ever; what it had not answered when it
// died may or may not have happened.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "millrace/client_types.hpp"

namespace millrace::process {

using message_id = std::uint64_t;
inline constexpr std::size_t subscriptions = 2;

struct place {
    std::uint32_t partition = 0;
    millrace::sequence sequence;

    auto operator<=>(const place&) const = default;
};

/// First deliveries of one session's consumer so far: the next one it may see, by partition.
using session_order = std::map<std::uint32_t, sequence>;

class crash_ledger {
public:
    explicit crash_ledger(std::uint64_t seed) : seed_(seed) {}

    /// A message that has not been there before, to be published.
    message new_message();

    void publish_answered(message_id id, place at);

    /// Checks content, place, order, and that the message was not acked before. Returns its id, or nothing when it is none of ours.
    std::optional<message_id> delivered(std::size_t subscription, const client::delivery& d, session_order& order);

    void ack_answered(std::size_t subscription, message_id id);

    /// What the broker says of a subscription, after a restart and before anything new happened.
    void described(std::size_t subscription, const client::subscription_description& d);

    /// Everything was consumed: what was answered must have come on each subscription.
    void drained();

    void violate(const std::string& what);

    static message_id id_of(const message& m);

    struct totals {
        std::uint64_t published = 0, answered = 0, found_unanswered = 0, delivered = 0, again = 0, acked = 0, violations = 0;
    };
    const totals& sums() const { return sums_; }

private:
    struct record {
        place at;
        bool answered = false;
        bool placed = false;
        std::array<bool, subscriptions> delivered{};
        std::array<bool, subscriptions> acked{};
    };

    message message_of(message_id id) const;
    bool put(message_id id, place at);

    std::uint64_t seed_;
    std::vector<record> records_;  // by id
    std::map<place, message_id> places_;
    std::array<std::uint64_t, subscriptions> acked_{};
    totals sums_;
};

}  // namespace millrace::process
