// So many in a row, and so many a second after that, for each key: a token bucket for each. Told the time; one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>

namespace photo_web {

struct rate_limit {
    double per_second = 5;
    double burst = 30;
};

class rate_limiter {
public:
    using time_point = std::chrono::steady_clock::time_point;

    explicit rate_limiter(rate_limit limit) : limit_(limit) {}

    /// Whether one more is within the limit; then it counts.
    bool take(const std::string& key, time_point now);

    std::size_t keys() const { return buckets_.size(); }

private:
    struct bucket {
        double tokens;
        time_point at;
    };

    double tokens_of(const bucket& b, time_point now) const;
    void forget_the_full(time_point now);

    rate_limit limit_;
    std::size_t forget_at_keys_ = 1024;
    std::unordered_map<std::string, bucket> buckets_;
};

}  // namespace photo_web
