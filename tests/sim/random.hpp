// The one source of chance of a run: xoshiro256**, so that a seed means the same on every machine and with every library.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace millrace::sim {

class random_source {
public:
    explicit random_source(std::uint64_t seed) {
        for (auto& word : state_) {  // splitmix64
            seed += 0x9e3779b97f4a7c15;
            auto z = seed;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
            z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
            word = z ^ (z >> 31);
        }
    }

    std::uint64_t next() {
        const auto out = rotate(state_[1] * 5, 7) * 9;
        const auto shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotate(state_[3], 45);
        return out;
    }

    /// 0 to n - 1. REQUIRES n > 0. The bias of the remainder is of no matter here.
    std::uint64_t below(std::uint64_t n) { return next() % n; }
    /// `least` to `most`, both included.
    std::uint64_t between(std::uint64_t least, std::uint64_t most) { return least + below(most - least + 1); }
    bool chance(std::uint64_t in_1000) { return below(1000) < in_1000; }
    std::chrono::microseconds between(std::chrono::microseconds least, std::chrono::microseconds most) {
        return std::chrono::microseconds{static_cast<std::int64_t>(
            between(static_cast<std::uint64_t>(least.count()), static_cast<std::uint64_t>(most.count())))};
    }

    template <class Container>
    auto& pick(Container& from) { return from[below(from.size())]; }

private:
    static std::uint64_t rotate(std::uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

    std::array<std::uint64_t, 4> state_{};
};

}  // namespace millrace::sim
