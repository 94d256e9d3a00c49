#include "examples/photo_stack/web/rate_limiter.hpp"

#include <algorithm>

namespace photo_web {

bool rate_limiter::take(const std::string& key, time_point now) {
    if (buckets_.size() >= forget_at_keys_) forget_the_full(now);
    auto& b = buckets_.try_emplace(key, bucket{limit_.burst, now}).first->second;
    b = {tokens_of(b, now), now};
    if (b.tokens < 1) return false;
    b.tokens -= 1;
    return true;
}

double rate_limiter::tokens_of(const bucket& b, time_point now) const {
    return std::min(limit_.burst, b.tokens + limit_.per_second * std::chrono::duration<double>(now - b.at).count());
}

/// A full bucket is as good as none. Grows with what is left, so that a flood of keys does not make every request look through all of them.
void rate_limiter::forget_the_full(time_point now) {
    std::erase_if(buckets_, [&](const auto& item) { return tokens_of(item.second, now) >= limit_.burst; });
    forget_at_keys_ = std::max<std::size_t>(1024, 2 * buckets_.size());
}

}  // namespace photo_web
