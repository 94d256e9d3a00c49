#include <functional>

#include "bench/load.hpp"

namespace millrace::bench {
namespace {

/// What all producers of a run share; they run on one thread.
struct producing {
    const load_settings& settings;
    progress& shared;
    side_result result;
    steady::time_point deadline;
    std::uint64_t sent = 0;
    std::uint32_t unfinished = 0;  // producers
    std::function<void()> all_finished = {};

    bool may_send(steady::time_point now) const {
        if (shared.failed) return false;
        return settings.count > 0 ? sent < settings.count : now < deadline;
    }

    void fail(const std::string& what) {
        if (result.failure.empty()) result.failure = what;
        shared.failed = true;
    }
};

class producer {
public:
    /// `broker` outlives the producer, and is shared with others or its own.
    producer(boost::asio::io_context& context, client::connection& broker, producing& all, std::uint32_t index)
        : all_(all), index_(index), broker_(broker), due_timer_(context),
          interval_(all.settings.rate > 0 ? all.settings.producers / all.settings.rate * 1e9 : 0) {}

    void start() {
        // Producers are due one after the other, not all at once.
        due_first_ = steady::now() + std::chrono::nanoseconds(static_cast<std::int64_t>(interval_ * index_ / all_.settings.producers));
        pump();
    }

private:
    void pump() {
        const auto now = steady::now();
        while (in_flight_ < all_.settings.in_flight_each() && all_.may_send(now)) {
            const auto due = interval_ > 0 ? due_first_ + std::chrono::nanoseconds(static_cast<std::int64_t>(interval_ * static_cast<double>(number_))) : now;
            if (due > now) return wait_until(due);
            send(due);
        }
        if (in_flight_ == 0 && !all_.may_send(now)) finish();
    }

    void wait_until(steady::time_point due) {
        if (waiting_) return;
        waiting_ = true;
        due_timer_.expires_at(due);
        due_timer_.async_wait([this](boost::system::error_code) {
            waiting_ = false;
            pump();
        });
    }

    void send(steady::time_point due) {
        ++in_flight_;
        ++all_.sent;
        const auto id = make_id(index_, number_++);
        broker_.async_publish(all_.settings.topic, {.payload = make_payload(id, due, all_.settings.size_of(id))},
                              [this, due](boost::system::error_code failed, client::receipt r) { on_answer(due, failed, r); });
    }

    void on_answer(steady::time_point due, boost::system::error_code failed, const client::receipt& r) {
        --in_flight_;
        if (failed) all_.fail("publish: " + failed.message() + ": " + r.refusal);
        ++all_.result.messages;
        all_.result.ended = steady::now();
        all_.result.latency.add(all_.result.ended - due);
        pump();
    }

    void finish() {
        if (std::exchange(finished_, true)) return;
        due_timer_.cancel();
        if (--all_.unfinished == 0) all_.all_finished();
    }

    producing& all_;
    std::uint32_t index_;
    client::connection& broker_;
    boost::asio::steady_timer due_timer_;
    double interval_;  // nanoseconds between two messages of this producer; 0: none
    steady::time_point due_first_;
    std::uint64_t number_ = 0;
    std::uint32_t in_flight_ = 0;
    bool waiting_ = false;
    bool finished_ = false;
};

}  // namespace

side_result run_producers(const load_settings& settings, progress& shared) {
    boost::asio::io_context context(1);
    producing all{settings, shared, {}, {}};
    all.unfinished = settings.producers;

    std::vector<std::unique_ptr<client::connection>> connections;
    for (std::uint32_t i = 0; i < settings.producer_connections(); ++i)
        connections.push_back(std::make_unique<client::connection>(context.get_executor(), settings.broker));
    all.all_finished = [&] {
        for (auto& c : connections) c->async_close([](boost::system::error_code, client::done) {});
    };
    std::vector<std::unique_ptr<producer>> producers;
    for (std::uint32_t i = 0; i < settings.producers; ++i)
        producers.push_back(std::make_unique<producer>(context, *connections[i % connections.size()], all, i));

    auto to_connect = connections.size();
    for (auto& c : connections) {
        c->async_connect([&](boost::system::error_code failed, client::broker_description d) {
            if (failed) all.fail("connect: " + d.refusal);
            if (--to_connect > 0) return;
            all.result.began = all.result.ended = steady::now();
            all.deadline = all.result.began + settings.time;
            for (auto& p : producers) p->start();
        });
    }
    context.run();
    shared.expected = all.sent;
    return std::move(all.result);
}

}  // namespace millrace::bench
