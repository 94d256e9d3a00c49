// Latencies in buckets that are 1.6 % wide at most, from 1 ns to 290 years: 64 to each power of two. Adding is a shift and an increment.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <vector>

namespace millrace::bench {

class histogram {
public:
    void add(std::chrono::nanoseconds latency) {
        const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(latency.count(), 0));
        ++counts_[index_of(value)];
        ++total_;
        max_ = std::max(max_, value);
    }

    void add(const histogram& other) {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
        total_ += other.total_;
        max_ = std::max(max_, other.max_);
    }

    std::uint64_t total() const noexcept { return total_; }
    double max_ms() const noexcept { return static_cast<double>(max_) / 1e6; }

    /// The value that `share` (0 to 1) of all latencies do not exceed, rounded up to its bucket's end; 0 when there are none.
    double percentile_ms(double share) const noexcept {
        const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_) + 0.5);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > 0 && seen >= wanted) return static_cast<double>(std::min(end_of(i), max_)) / 1e6;
        }
        return 0;
    }

private:
    static constexpr unsigned precision_bits = 6;
    static constexpr std::uint64_t linear = 1u << precision_bits;  // values below are counted exactly

    static std::size_t index_of(std::uint64_t value) noexcept {
        if (value < linear) return value;
        const auto shift = static_cast<unsigned>(std::bit_width(value)) - precision_bits - 1;
        return (shift + 1) * linear + ((value >> shift) - linear);
    }

    static std::uint64_t end_of(std::size_t index) noexcept {
        if (index < linear) return index;
        const auto shift = index / linear - 1;
        return ((linear + index % linear + 1) << shift) - 1;
    }

    std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>((64 - precision_bits) * linear);
    std::uint64_t total_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace millrace::bench
