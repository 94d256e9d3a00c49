// What every simulated client lives among, and what is known in the run of topics and subscriptions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/sim/broker_host.hpp"
#include "tests/sim/checker.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/machine_clocks.hpp"
#include "tests/sim/network.hpp"
#include "tests/sim/random.hpp"
#include "tests/sim/trace.hpp"

namespace millrace::sim {

struct known_topic {
    std::uint32_t id = 0;
    std::uint32_t partitions = 1;
    bool stays = true;   // it is never deleted: answers to publishes by name are for this id
    bool library = true; // the client library consumes from it: no dead letters in it
};

struct known_subscription {
    std::string topic, name;
    std::uint32_t id = 0;
};

struct catalog {
    std::map<std::string, known_topic> topics;
    std::vector<known_subscription> subscriptions;

    const known_subscription* find(std::uint32_t id) const {
        for (const auto& s : subscriptions)
            if (s.id == id) return &s;
        return nullptr;
    }
};

struct surroundings {
    event_queue& events;
    random_source& random;
    trace& noted;
    checker& judge;
    broker_host& broker;
    const network_weather& weather;
    catalog& known;
    bool clocks_differ = false;  // one machine's from another's
    bool disk_fills = false;  // now and then: publishes and new topics may be refused
    bool settling = false;    // the faults are over: everybody finishes what is there
    timestamp settling_since = timestamp::max();

    timestamp now() const { return events.now(); }
    /// Of what was sent then. The broker sees within two seconds that there is room again.
    bool may_be_refused(errc why, timestamp sent) const { return why == errc::disk_full && disk_fills && (!settling || sent - settling_since < std::chrono::seconds(2)); }
};

}  // namespace millrace::sim
