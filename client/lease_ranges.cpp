#include "client/lease_ranges.hpp"

#include <algorithm>
#include <tuple>

namespace millrace::client {
namespace {

bool same_lease(const lease_range& a, const lease_range& b) {
    return a.partition == b.partition && a.attempt == b.attempt;
}

/// Merges neighbours in place. `ranges` is sorted.
void merge(std::vector<lease_range>& ranges) {
    std::size_t kept = 0;
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        auto& last = ranges[kept];
        if (same_lease(last, ranges[i]) && ranges[i].first <= last.last + 1)
            last.last = std::max(last.last, ranges[i].last);
        else
            ranges[++kept] = ranges[i];
    }
    ranges.resize(kept + 1);
}

}  // namespace

void lease_ranges::add(const lease_range& range) {
    if (!ranges_.empty() && same_lease(ranges_.back(), range) && ranges_.back().last + 1 == range.first)
        ranges_.back().last = range.last;
    else
        ranges_.push_back(range);
}

bool lease_ranges::remove(const lease_range& range) {
    std::vector<lease_range> kept;
    bool removed = false;
    for (const auto& r : ranges_) {
        if (!same_lease(r, range) || r.last < range.first || r.first > range.last) {
            kept.push_back(r);
            continue;
        }
        removed = true;
        if (r.first < range.first) kept.push_back({r.partition, r.attempt, r.first, range.first - 1});
        if (r.last > range.last) kept.push_back({r.partition, r.attempt, range.last + 1, r.last});
    }
    ranges_ = std::move(kept);
    return removed;
}

std::vector<lease_range> lease_ranges::take(std::size_t max) {
    if (ranges_.size() > 1) {
        std::sort(ranges_.begin(), ranges_.end(), [](const lease_range& a, const lease_range& b) {
            return std::tie(a.partition, a.attempt, a.first) < std::tie(b.partition, b.attempt, b.first);
        });
        merge(ranges_);
    }
    const auto end = ranges_.begin() + static_cast<std::ptrdiff_t>(std::min(max, ranges_.size()));
    std::vector<lease_range> taken(ranges_.begin(), end);
    ranges_.erase(ranges_.begin(), end);
    return taken;
}

}  // namespace millrace::client
