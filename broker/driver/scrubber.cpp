#include "broker/driver/scrubber.hpp"

#include <algorithm>
#include <chrono>

#include "broker/driver/driver.hpp"

namespace millrace::driver {
namespace {

constexpr auto rest = std::chrono::minutes{1};
constexpr auto pass_interval = std::chrono::days{1};
constexpr std::uint32_t read_bytes = 256u << 10;

}  // namespace

std::optional<timestamp> scrubber::due() const {
    return rate_ == 0 || reading_ ? std::nullopt : std::optional(due_);
}

std::optional<read_request> scrubber::next(timestamp now, const core::shard& shard) {
    if (!in_pass_) {
        in_pass_ = true;
        pass_began_ = now;
        at_ = {};
    }
    const auto found = shard.kept_from(at_.first, at_.second);
    if (!found) {
        in_pass_ = false;
        ++passes_;
        due_ = std::max(now + rest, pass_began_ + pass_interval);
        return std::nullopt;
    }
    at_ = *found;
    reading_ = true;
    return read_request{at_.first, at_.second, read_bytes};
}

bool scrubber::is_reading(const read_request& request) const {
    return reading_ && std::pair(request.partition, request.from) == at_;
}

void scrubber::done(timestamp now, std::optional<sequence> next, std::uint64_t bytes) {
    reading_ = false;
    at_.second = next.value_or(sequence{UINT64_MAX});
    bytes_read_ += bytes;
    due_ = now + std::chrono::microseconds(bytes * 1'000'000 / rate_);
}

void scrubber::failed(timestamp now) {
    reading_ = false;
    due_ = now + rest;
}

}  // namespace millrace::driver
