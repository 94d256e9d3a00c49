#include "tests/core/row_map.hpp"

namespace millrace::core::testing {

void row_map::apply(const std::vector<mutation>& group) {
    for (const auto& m : group) std::visit([this](const auto& one) { apply(one); }, m);
}

void row_map::apply(const append_entry& m) {
    if (!entries_[m.partition].emplace(m.last, m.index).second) breaches_.push_back("appended twice: entry " + std::to_string(m.last.value));
}

void row_map::apply(const free_entry& m) {
    if (entries_[m.partition].erase(m.last) == 0) breaches_.push_back("freed and not there: entry " + std::to_string(m.last.value));
}

std::vector<row> row_map::scan(const row_range& range, std::size_t limit) const {
    std::vector<row> found;
    for (auto it = rows_.lower_bound(range.begin); it != rows_.end() && it->first < range.end && found.size() < limit; ++it)
        found.push_back({it->first, it->second});
    return found;
}

std::vector<shared_index> row_map::read(partition_id partition, sequence from, std::uint64_t bytes) const {
    std::vector<shared_index> found;
    const auto entries = entries_.find(partition);
    if (entries == entries_.end()) return found;
    std::uint64_t sum = 0;
    for (auto it = entries->second.lower_bound(from); it != entries->second.end(); ++it) {
        sum += it->second->bytes();
        if (!found.empty() && sum > bytes) break;
        found.push_back(it->second);
    }
    return found;
}

}  // namespace millrace::core::testing
