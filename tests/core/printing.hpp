// Effects, mutations and rows as the lines that transcripts show.
#pragma once

#include <map>
#include <string>

#include "broker/core/effect.hpp"
#include "broker/core/mutation.hpp"

namespace millrace::core::testing {

/// Names for ids, as far as they are known; others print as "#7".
struct known_names {
    std::map<topic_id, std::string> topics;
    std::map<subscription_id, std::string> subscriptions;  // "topic/subscription"

    std::string of(topic_id id) const;
    std::string of(subscription_id id) const;
    std::string of(partition_id id) const { return of(id.topic) + "/" + std::to_string(id.index); }
};

/// One line for each effect, in the order in which they leave.
std::string print(const effects& effects, const known_names& names);

/// One indented line for each mutation, rows decoded.
std::string print(const mutation& m, const known_names& names);

/// A stored row, decoded. "BAD ROW" and the error when it cannot be.
std::string print(const row& r, const known_names& names);

/// "5" or "5-9".
std::string print(sequence first, sequence last);

}  // namespace millrace::core::testing
