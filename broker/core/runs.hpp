// Maps of disjoint runs, by first sequence: Value has a member `last`.
#pragma once

#include <iterator>
#include <utility>

#include "millrace/message.hpp"

namespace millrace::core {

/// The run that covers `s`, else the next one after it.
template <class Map>
auto covering_or_next(Map& runs, sequence s) {
    auto it = runs.upper_bound(s);
    if (it != runs.begin() && std::prev(it)->second.last >= s) --it;
    return it;
}

/// Cuts first..last, which must lie inside the run at `it`, out of it; returns the run after what was cut.
template <class Map>
auto cut(Map& runs, typename Map::iterator it, sequence first, sequence last) {
    const auto tail = it->second.last;
    if (it->first == first && tail == last) return runs.erase(it);
    if (it->first == first) {  // keep the node: acks in order shorten one run again and again
        auto node = runs.extract(it);
        node.key() = last + 1;
        return runs.insert(std::move(node)).position;
    }
    it->second.last = first - 1;
    if (tail == last) return std::next(it);
    auto rest = it->second;
    rest.last = tail;
    return runs.emplace_hint(std::next(it), last + 1, rest);
}

}  // namespace millrace::core
