// What a run, or many, have led the broker through: which request met it and its session in which state, and how each kind of request was answered.
// Counted at the simulator's seams. Many processes may count into one.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>

#include "broker/core/input.hpp"
#include "millrace/error.hpp"

namespace millrace::sim {

enum class broker_state : std::uint8_t { just_started, at_rest, writing, writing_all_it_may, disk_full, count };
enum class session_state : std::uint8_t { fresh, returned, consuming, publishing_by_name, count };

class coverage {
public:
    using kind = std::size_t;  // of a request: the index of its input

    void met(kind request, broker_state broker, session_state session);
    void answered(kind request, errc how);
    void said_goodbye(errc why) { ++goodbyes_.at(static_cast<std::size_t>(why)); }

    /// Every pair with how often it was seen, and which that are possible were not.
    void print(std::FILE* out) const;

private:
    static constexpr std::size_t kinds = std::variant_size_v<core::any_input>;
    static constexpr std::size_t codes = 128;
    using count = std::atomic<std::uint64_t>;

    void print_answers(std::FILE* out) const;

    std::array<std::array<count, static_cast<std::size_t>(broker_state::count)>, kinds> by_broker_{};
    std::array<std::array<count, static_cast<std::size_t>(session_state::count)>, kinds> by_session_{};
    std::array<std::array<count, codes>, kinds> answers_{};
    std::array<count, codes> goodbyes_{};
};

}  // namespace millrace::sim
