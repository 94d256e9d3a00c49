// What all clients of a run share: where the broker is, what there is on it, and whom to tell.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "millrace/client.hpp"
#include "tests/blackbox/history.hpp"

namespace millrace::blackbox {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

struct topic_in_use {
    std::string name;
    std::uint32_t id = 0;
    std::uint32_t partitions = 1;
};

struct subscription_in_use {
    topic_in_use topic;
    std::string name;
    std::uint32_t id = 0;
    milliseconds visibility{0};
};

struct scene {
    history& told;
    std::string server{};                            // HOST:PORT, the same in every life of the broker
    std::vector<topic_in_use> topics{};              // that producers publish to
    std::vector<subscription_in_use> subscriptions{};// dead letters' last
    std::atomic<unsigned> rate = 300;                // messages a second, of each producer
    std::atomic<bool> settling = false;              // the faults are over: nothing new is published, and everything is acked
};

}  // namespace millrace::blackbox
