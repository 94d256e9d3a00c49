// Keeps values under small numbers that are used again: the handlers of a million publishes a second, found without a search.
#pragma once

#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

namespace millrace::client {

template <class T>
class slots {
public:
    std::uint64_t put(T&& value) {
        if (free_.empty()) {
            values_.push_back(std::move(value));
            return values_.size() - 1;
        }
        const auto slot = free_.back();
        free_.pop_back();
        values_[slot] = std::move(value);
        return slot;
    }

    /// Requires: `slot` came from put() and was not taken since.
    T take(std::uint64_t slot) {
        assert(slot < values_.size());
        T value = std::move(values_[slot]);
        free_.push_back(slot);
        return value;
    }

    /// It will be taken soon.
    void prefetch(std::uint64_t slot) const noexcept { __builtin_prefetch(&values_[slot]); }

    std::size_t size() const noexcept { return values_.size() - free_.size(); }

private:
    std::vector<T> values_;
    std::vector<std::uint64_t> free_;
};

}  // namespace millrace::client
