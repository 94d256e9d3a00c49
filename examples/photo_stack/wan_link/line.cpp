#include "examples/photo_stack/wan_link/line.hpp"

#include <algorithm>
#include <utility>

namespace photo_wan {

void line::enter(clock::time_point now, packet p) {
    if (is_lost() || packets_.size() >= settings_.packets_max) return;
    auto due = now + time_on_the_way();
    if (!packets_.empty()) due = std::max(due, packets_.back().due);  // nobody overtakes
    packets_.push_back({due, std::move(p)});
}

std::optional<line::clock::time_point> line::next() const {
    if (packets_.empty()) return std::nullopt;
    return packets_.front().due;
}

std::optional<packet> line::leave(clock::time_point now) {
    if (packets_.empty() || packets_.front().due > now) return std::nullopt;
    auto p = std::move(packets_.front().content);
    packets_.pop_front();
    return p;
}

bool line::is_lost() { return settings_.lost_permille > 0 && std::uniform_int_distribution<unsigned>(0, 999)(random_) < settings_.lost_permille; }

std::chrono::microseconds line::time_on_the_way() {
    return settings_.delay + std::chrono::microseconds(std::uniform_int_distribution<std::int64_t>(0, settings_.jitter.count())(random_));
}

}  // namespace photo_wan
