#include <deque>
#include <stdexcept>

#include "bench/load.hpp"

namespace millrace::bench {
namespace {

/// All producers of a run. Each has as many slots as it may have messages in flight; a slot is free again with its answer.
class producers {
public:
    producers(const load_settings& settings, peer& broker)
        : settings_(settings), payloads_(settings.largest_size()), slots_(std::size_t{settings.producers} * settings.in_flight_each()), published_(settings.producers) {
        for (std::uint64_t slot = 0; slot < slots_.size(); ++slot) free_.push_back(slot);
        side_ = broker.publish(settings, [this](std::uint64_t slot) { on_answer(slot); });
    }

    side_result run(progress& shared) {
        shared.may_publish.wait(false);
        result_.began = result_.ended = steady::now();
        const auto deadline = result_.began + settings_.time;
        const auto may_send = [&](steady::time_point now) {
            if (shared.failed) return false;
            return settings_.count > 0 ? sent_ < settings_.count : now < deadline;
        };
        for (;;) {
            const auto now = steady::now();
            const bool more = may_send(now);
            if (!more && free_.size() == slots_.size()) break;
            while (!free_.empty() && may_send(now) && due(now) <= now) send(due(now));
            const bool waits_for_due = more && !free_.empty() && settings_.rate > 0;
            const auto answered = result_.messages;
            clock_.wait_begins();
            side_->wait(waits_for_due ? due(now) : now + silence_max);
            if (result_.messages == answered && !waits_for_due) throw std::runtime_error("publish: no answer for 30 s");
        }
        shared.expected = sent_;
        return std::move(result_);
    }

private:
    /// Of the next message; without a rate it is due at once.
    steady::time_point due(steady::time_point now) const {
        if (settings_.rate <= 0) return now;
        return result_.began + std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(sent_) / settings_.rate * 1e9));
    }

    void send(steady::time_point due) {
        const auto slot = free_.front();
        free_.pop_front();
        const auto producer = static_cast<std::uint32_t>(slot % settings_.producers);
        slots_[slot] = due;
        ++sent_;
        const auto id = make_id(producer, published_[producer]++);
        side_->publish(slot, producer, payloads_.make(id, due, settings_.size_of(id)));
    }

    void on_answer(std::uint64_t slot) {
        free_.push_back(slot);
        ++result_.messages;
        result_.ended = clock_.now();
        result_.latency.add(result_.ended - slots_[slot]);
    }

    const load_settings& settings_;
    const payload_source payloads_;
    std::vector<steady::time_point> slots_;  // when the message in it was due
    std::deque<std::uint64_t> free_;
    std::vector<std::uint64_t> published_;   // by producer
    std::uint64_t sent_ = 0;
    arrival_clock clock_;
    side_result result_;
    std::unique_ptr<publishing_side> side_;  // last: it ends before what its answers touch
};

}  // namespace

side_result run_producers(const load_settings& settings, peer& broker, progress& shared) {
    return guarded(shared, [&] { return producers(settings, broker).run(shared); });
}

}  // namespace millrace::bench
