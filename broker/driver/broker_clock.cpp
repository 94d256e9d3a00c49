#include "broker/driver/broker_clock.hpp"

#include <algorithm>

#include "broker/core/invariant.hpp"

namespace millrace::driver {

timestamp broker_clock::now(const reading& clocks) {
    const auto went = clocks.steady - steady_;
    core::invariant(went.count() >= 0, "the steady clock went back", static_cast<std::uint64_t>(-went.count()));
    steady_ = clocks.steady;
    time_ += went;
    unused_ += went;
    const auto most = unused_ / lean;
    unused_ %= lean;
    time_ += std::clamp(clocks.wall - time_, -std::min(most, went), most);
    ahead_ = clocks.wall - time_;
    return time_;
}

std::optional<std::chrono::microseconds> broker_clock::take_jump() {
    if (std::chrono::abs(ahead_ - told_) < jump_min) return std::nullopt;
    told_ = ahead_;
    return ahead_;
}

}  // namespace millrace::driver
