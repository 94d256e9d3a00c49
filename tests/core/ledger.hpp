// What a broker has promised, kept by somebody who knows nothing of how it works: built from answers and pushes alone.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "broker/core/identity.hpp"
#include "broker/core/input.hpp"
#include "millrace/message.hpp"

namespace millrace::core::testing {

/// The first broken promise throws std::logic_error.
class ledger {
public:
    struct place {
        partition_id partition;
        sequence at;
        auto operator<=>(const place&) const = default;
    };

    /// A publish was answered: its messages stand at `first` and on for ever.
    void published(partition_id partition, sequence first, const std::vector<std::string>& payloads);

    /// A subscription begins at `start` of a partition.
    void subscribed(subscription_id subscription, partition_id partition, sequence start);
    void forget(subscription_id subscription);

    /// A message reached a consumer of `subscription`.
    void delivered(subscription_id subscription, partition_id partition, sequence at, const std::string& payload);

    /// An ack of first..last was answered.
    void acked(subscription_id subscription, partition_id partition, sequence first, sequence last);

    /// A reject of first..last was answered: each is on its way to the dead-letter topic, unless it was settled otherwise.
    void rejected(subscription_id subscription, partition_id partition, sequence first, sequence last);

    /// A dead message of `subscription` was found in the dead-letter topic at `where`.
    void arrived(subscription_id subscription, partition_id partition, sequence at, const std::string& payload, place where);

    /// An ack of first..last was sent and its answer will never come: its messages may be settled or not.
    void ack_unanswered(subscription_id subscription, partition_id partition, sequence first, sequence last);

    /// Messages before `high` may be skipped from now on: they need not come, but may.
    void purged(partition_id partition, sequence high);

    /// Throws unless every published message was acked on every subscription that began before it, purged, or arrived among the
    /// dead; and every rejected one too.
    void settle_accounts() const;

    std::uint64_t deliveries() const { return deliveries_; }
    std::uint64_t arrivals() const { return dead_.size(); }

private:
    using progress_key = std::pair<subscription_id, partition_id>;

    void bind(place where, const std::string& payload);
    bool is_settled(const progress_key& key, sequence at) const;

    std::map<place, std::string> content_;
    std::set<place> promised_;  // of content, what an answer vouched for
    std::map<progress_key, sequence> starts_;
    std::map<progress_key, std::set<sequence>> acked_;
    std::map<progress_key, std::set<sequence>> maybe_acked_;
    std::map<progress_key, std::set<sequence>> rejected_;
    std::map<std::pair<progress_key, sequence>, place> dead_;  // and where it was found
    std::map<partition_id, sequence> purged_to_;
    std::uint64_t deliveries_ = 0;
};

}  // namespace millrace::core::testing
