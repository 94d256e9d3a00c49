// Simulated time: what happens, in the order of (time, order of asking).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "millrace/message.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::sim {

class event_queue {
public:
    using duration = std::chrono::microseconds;

    timestamp now() const { return now_; }

    void at(timestamp when, std::function<void()> what) { events_.emplace(std::pair{std::max(when, now_), ++last_}, std::move(what)); }
    void after(duration wait, std::function<void()> what) { at(now_ + wait, std::move(what)); }

    /// Runs everything up to and at `until`; time is `until` afterwards.
    void run_until(timestamp until) {
        while (!events_.empty() && events_.begin()->first.first <= until) {
            auto next = events_.extract(events_.begin());
            at_once_ = next.key().first == now_ ? at_once_ + 1 : 0;
            if (at_once_ > at_once_max) throw violation("time stands still: one thing causes the next without end");
            now_ = next.key().first;
            ++performed_;
            next.mapped()();
        }
        now_ = until;
    }

    std::uint64_t performed() const { return performed_; }

private:
    static constexpr std::uint64_t at_once_max = 200'000;

    timestamp now_{std::chrono::seconds{1'000'000'000}};
    std::map<std::pair<timestamp, std::uint64_t>, std::function<void()>> events_;
    std::uint64_t last_ = 0;
    std::uint64_t performed_ = 0;
    std::uint64_t at_once_ = 0;
};

}  // namespace millrace::sim
