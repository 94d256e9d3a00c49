#include <stdexcept>
#include <thread>

#include "bench/load.hpp"

namespace millrace::bench {
namespace {

/// All consumers of a run.
class consumers {
public:
    consumers(const load_settings& settings, peer& broker, progress& shared) : settings_(settings), payloads_(settings.largest_size()), shared_(shared) {
        side_ = broker.consume(settings, [this](std::string_view payload) { return check(payload); });
        shared.let_publish();
    }

    side_result run() {
        auto heard_at = steady::now();
        while (came_.count() < shared_.expected && !shared_.failed) {
            const auto seen = came_.count();
            const auto now = steady::now();
            clock_.wait_begins();
            side_->wait(now + std::chrono::milliseconds(5));  // and looks whether that was all
            if (came_.count() != seen)
                heard_at = now;
            else if (now - heard_at > silence_max)
                throw std::runtime_error("nothing came for 30 s: " + std::to_string(seen) + " of " + std::to_string(shared_.expected) + " messages");
        }
        side_->finish();
        if (result_.messages > 0) result_.ended = steady::now();
        if (result_.repeated > 0) result_.failure = std::to_string(result_.repeated) + " messages came more than once";
        return std::move(result_);
    }

private:
    bool check(std::string_view payload) {
        const auto now = clock_.now();
        payload_head head{};
        if (!payloads_.read(payload, head) || payload.size() != settings_.size_of(head.id))
            throw std::runtime_error("a message of " + std::to_string(payload.size()) + " bytes is not what was published");
        const steady::time_point sent_at(steady::duration(head.sent_at));
        if (sent_at < shared_.published_since) throw std::runtime_error("a message of an earlier run came: topic " + settings_.topic + " was not empty");
        if (came_.tick(head.id)) {
            if (result_.messages++ == 0) result_.began = now;
            result_.latency.add(now - sent_at);
        } else {
            ++result_.repeated;
        }
        if (settings_.consume_time.count() > 0 && shared_.is_publishing()) {
            std::this_thread::sleep_for(settings_.consume_time);
            clock_.wait_begins();
        }
        return settings_.leave_every == 0 || number_of(head.id) % settings_.leave_every != 0;
    }

    const load_settings& settings_;
    const payload_source payloads_;
    progress& shared_;
    checklist came_;
    arrival_clock clock_;
    side_result result_;
    std::unique_ptr<consuming_side> side_;  // last: it ends before what its messages touch
};

}  // namespace

side_result run_consumers(const load_settings& settings, peer& broker, progress& shared) {
    return guarded(shared, [&] { return consumers(settings, broker, shared).run(); });
}

}  // namespace millrace::bench
