// The two sides of every measurement: producers that publish one message at a time, and consumers that check every message. Each side runs
// all of its connections on one thread of its own. What they are run against is a peer.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "bench/histogram.hpp"
#include "bench/payload.hpp"
#include "bench/peer.hpp"

namespace millrace::bench {

inline constexpr auto silence_max = std::chrono::seconds(30);  // longer, and the measurement has failed

struct load_settings {
    std::string server = "127.0.0.1:7070";
    std::string token;
    std::string token_file;
    std::string topic;
    std::string subscription;
    bool own_topic = true;             // made and removed by the run
    std::uint32_t topics = 1;          // more than one: named after `topic`, and the producers take turns: each publishes to one
    std::size_t size = 1'024;
    bool mixed_sizes = false;          // each message between half and one and a half times `size`, as its id says
    std::uint64_t count = 0;           // messages in all; 0: for `time`
    std::chrono::seconds time{10};
    std::uint32_t producers = 1;
    std::uint32_t connections = 0;     // that the producers share; 0: each has its own
    std::uint32_t consumers = 1;
    std::uint32_t in_flight = 0;       // of each producer; 0: its part of 20 000, so that batches are full while others are under way
    double rate = 0;                   // messages a second in all; 0: as fast as answers come
    std::uint64_t leave_every = 0;     // messages whose number divides by it are received and not acked; 0: none
    std::chrono::microseconds consume_time{0};  // that the consumers' thread takes for each message, until all are published

    std::size_t size_of(std::uint64_t id) const { return mixed_sizes ? std::max(payload_bytes_min, size - size / 2 + scramble(~id) % (size + 1)) : size; }
    std::size_t largest_size() const { return mixed_sizes ? size - size / 2 + size : size; }
    std::string topic_name(std::uint32_t index) const { return topics == 1 ? topic : topic + '-' + std::to_string(index); }
    std::vector<std::string> topic_names() const {
        std::vector<std::string> names;
        for (std::uint32_t i = 0; i < topics; ++i) names.push_back(topic_name(i));
        return names;
    }
    std::uint32_t in_flight_each() const { return in_flight > 0 ? in_flight : std::max(1u, 20'000 / producers); }
    bool sends_at_once() const { return rate > 0 || producers * in_flight_each() == 1; }  // else a client's buffer makes it faster
    std::uint32_t producer_connections() const { return connections == 0 ? producers : std::min(connections, producers); }
};

/// What both sides share while they run.
struct progress {
    std::atomic<bool> failed = false;
    std::atomic<std::uint64_t> expected = UINT64_MAX;  // messages to be consumed, once all are published
    std::atomic<bool> may_publish = true;              // false while those who are to consume at once are not there yet
    steady::time_point published_since = steady::time_point::min();  // set before both: an earlier run's message would hide what is lost of this one

    bool is_publishing() const { return expected == UINT64_MAX; }
    void let_publish() {
        may_publish = true;
        may_publish.notify_all();
    }
};

/// The time, read once for a few messages that come together: read for each it would be a tenth of what a small one costs. So a message may be told to have come
/// as early as the eighth before it.
class arrival_clock {
public:
    /// What comes now has not come together with what came before.
    void wait_begins() { known_for_ = 0; }

    steady::time_point now() {
        if (known_for_ == 0) {
            now_ = steady::now();
            known_for_ = 8;
        }
        --known_for_;
        return now_;
    }

private:
    steady::time_point now_;
    int known_for_ = 0;
};

struct side_result {
    std::uint64_t messages = 0;
    std::uint64_t repeated = 0;
    steady::time_point began;
    steady::time_point ended;
    histogram latency;
    std::string failure;

    double seconds() const { return std::chrono::duration<double>(ended - began).count(); }

    /// As if it had gone on with the other.
    void add(const side_result& next) {
        messages += next.messages;
        ended += next.ended - next.began;
        latency.add(next.latency);
    }
};

/// What `run` gives; when it throws, the failure, which the other side is told.
template <class Run>
side_result guarded(progress& shared, Run run) {
    try {
        return run();
    } catch (const std::exception& e) {
        shared.failed = true;
        shared.let_publish();  // and see that
        side_result failed;
        failed.failure = e.what();
        return failed;
    }
}

/// Publishes and waits for every answer. Latency is from when a message was due, with a rate, else from its publish(), to its answer: a
/// stalled broker makes every message late that was due meanwhile, not only the ones that were sent (coordinated omission).
side_result run_producers(const load_settings& settings, peer& broker, progress& shared);

/// Consumes and acks until every expected message came once, checking each. Latency is from when it was due or published to its handler.
side_result run_consumers(const load_settings& settings, peer& broker, progress& shared);

}  // namespace millrace::bench
