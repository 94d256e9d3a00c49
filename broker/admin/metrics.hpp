// The numbers of a broker in Prometheus' text format. README.md of this folder lists them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/admin/view.hpp"
#include "broker/core/figures.hpp"

namespace millrace::admin {

/// So many topics, the oldest, have series of their own; the others are in the totals alone, and their series are counted.
inline constexpr std::size_t topics_with_series_max = 10'000;

/// A broker at one moment, taken from its loop. A topic's figures are of one moment; those of two topics may be of two.
struct snapshot {
    broker_state state;
    std::vector<core::topic_figures> topics;
    std::uint64_t all_topics = 0, all_subscriptions = 0, consumers = 0;
};

/// Takes long with many topics: to be called off the loop.
std::string exposition(const snapshot& taken);

}  // namespace millrace::admin
