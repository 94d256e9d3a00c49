#include "client/held_leases.hpp"

#include <utility>

namespace millrace::client {

void held_leases::add(const lease& first, std::vector<std::uint32_t> sizes) {
    auto& held = runs_[{first.connection, first.partition, first.attempt, first.at}];
    total_.messages += static_cast<std::int64_t>(sizes.size()) - held.left;
    for (const auto size : sizes) total_.bytes += size;
    for (const auto size : held.sizes) total_.bytes -= size;
    held.left = static_cast<std::uint32_t>(sizes.size());
    held.sizes = std::move(sizes);
}

bool held_leases::remove(const lease& one) {
    const auto found = find(one);
    if (found == runs_.end()) return false;
    const auto size = std::exchange(found->second.sizes[one.at - found->first.first], 0);
    if (size == 0) return false;
    --total_.messages;
    total_.bytes -= size;
    last_ = found;
    if (--found->second.left == 0) {
        runs_.erase(found);
        last_ = runs_.end();
    }
    return true;
}

std::uint32_t held_leases::size_of(const lease& one) {
    const auto found = find(one);
    return found == runs_.end() ? 0 : found->second.sizes[one.at - found->first.first];
}

held_leases::run_map::iterator held_leases::find(const lease& one) {
    const auto covers = [&](run_map::iterator candidate) {
        const auto& [at, held] = *candidate;
        return at.connection == one.connection && at.partition == one.partition && at.attempt == one.attempt && at.first <= one.at &&
               one.at - at.first < held.sizes.size();
    };
    if (last_ != runs_.end() && covers(last_)) return last_;
    auto after = runs_.upper_bound({one.connection, one.partition, one.attempt, one.at});
    if (after == runs_.begin()) return runs_.end();
    return covers(--after) ? after : runs_.end();
}

}  // namespace millrace::client
