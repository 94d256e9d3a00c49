// A worker with its connection on a thread of its own, and what its handler saw.
#pragma once

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "millrace/worker.hpp"

namespace millrace {

using namespace std::chrono_literals;

inline client::connection_settings quick(const std::string& server) {
    client::connection_settings s;
    s.server = server;
    s.reconnect.pause_min = 10ms;
    s.reconnect.pause_max = 50ms;
    return s;
}

class running_worker {
public:
    running_worker(const std::string& server, client::worker_options options, client::worker::handler work)
        : running_worker(quick(server), std::move(options), std::move(work)) {}
    running_worker(const client::connection_settings& settings, client::worker_options options, client::worker::handler work)
        : connection_(context_.get_executor(), settings), worker_(connection_, "photos", "resize", std::move(options), std::move(work)) {
        connection_.async_connect([this](boost::system::error_code failed, client::broker_description d) {
            if (failed) return promise_.set_value({failed, {.refusal = d.refusal}});
            worker_.async_run([this](boost::system::error_code ended, client::worker_report r) { promise_.set_value({ended, std::move(r)}); });
        });
        thread_ = std::thread([this] { context_.run(); });
    }

    ~running_worker() {
        worker_.drain();
        if (ended_.valid()) ended_.wait();
        context_.stop();
        thread_.join();
    }

    void drain() { worker_.drain(); }
    std::pair<boost::system::error_code, client::worker_report> wait() { return ended_.get(); }

private:
    boost::asio::io_context context_{1};
    client::connection connection_;
    client::worker worker_;
    std::promise<std::pair<boost::system::error_code, client::worker_report>> promise_;
    std::future<std::pair<boost::system::error_code, client::worker_report>> ended_ = promise_.get_future();
    std::thread thread_;
};

/// What handlers saw, in order; for any thread.
class sightings {
public:
    struct sighting {
        std::string payload;
        std::uint32_t attempt;
        std::chrono::steady_clock::time_point at;
    };

    void note(const client::delivery& d) {
        const std::lock_guard lock(mutex_);
        all_.push_back({d.message.payload, d.attempt, std::chrono::steady_clock::now()});
        changed_.notify_all();
    }

    /// False when there are not `count` in time.
    bool wait_for(std::size_t count, std::chrono::milliseconds limit = 10s) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, limit, [&] { return all_.size() >= count; });
    }

    std::vector<sighting> all() {
        const std::lock_guard lock(mutex_);
        return all_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<sighting> all_;
};

/// Looks again and again until `holds`; false after `limit`.
template <class Condition>
bool eventually(Condition holds, std::chrono::milliseconds limit = 10s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

}  // namespace millrace
