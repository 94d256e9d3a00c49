// How often values fell between given bounds: plain numbers, for those who draw them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace millrace::driver {

class histogram {
public:
    /// `bounds` ascend. A value counts under the first bound that is not less than it; above the last there is one more place.
    histogram(std::initializer_list<std::uint64_t> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}

    void observe(std::uint64_t value) {
        const auto place = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
        ++counts_[static_cast<std::size_t>(place)];
        ++count_;
        sum_ += value;
    }

    /// REQUIRES the same bounds.
    histogram& operator+=(const histogram& more) {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += more.counts_[i];
        count_ += more.count_;
        sum_ += more.sum_;
        return *this;
    }

    const std::vector<std::uint64_t>& bounds() const { return bounds_; }
    const std::vector<std::uint64_t>& counts() const { return counts_; }
    std::uint64_t count() const { return count_; }
    std::uint64_t sum() const { return sum_; }

private:
    std::vector<std::uint64_t> bounds_;
    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0;
    std::uint64_t sum_ = 0;
};

}  // namespace millrace::driver
