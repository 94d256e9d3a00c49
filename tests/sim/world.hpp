// One run: a broker, its store and its clients under a plan of faults that the seed draws, then a time without faults in which everything must settle.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/sim/admin_client.hpp"
#include "tests/sim/lease_client.hpp"
#include "tests/sim/library_client.hpp"
#include "tests/sim/producer_client.hpp"

namespace millrace::sim {

/// Chances in 1000, each second of simulated time.
struct fault_plan {
    std::uint64_t broker_crash = 0;
    std::uint64_t connection_cut = 0;
    std::uint64_t admin_cut = 0;
    std::uint64_t disk_fills = 0;
    std::uint64_t clock_set = 0;
    std::uint64_t partition = 0;
};

struct run_report {
    double simulated_seconds = 0;
    std::uint64_t events = 0;
    std::uint64_t clients = 0;
    std::uint64_t deliveries = 0;
    std::uint64_t dead_letters = 0;
    std::uint64_t recoveries = 0;
    std::uint64_t fingerprint = 0;
};

class world {
public:
    /// On the memory engine, or on `on`, which outlives it.
    world(std::uint64_t seed, trace& noted, machine* on = nullptr);
    ~world();

    /// What it leads the broker through is counted into `seen`, which outlives it.
    void count_into(coverage* seen) { broker_.count_into(seen); }

    /// Throws violation.
    run_report run();

private:
    static constexpr std::chrono::seconds settle_bound{180};

    void draw_weather();
    void draw_habits();
    void draw_faults();
    void draw_clocks();
    void draw_clients();
    std::vector<wanted_topic> draw_topics();
    std::vector<wanted_subscription> draw_subscriptions();
    void keep_acting(std::function<void()> act, std::chrono::microseconds least, std::chrono::microseconds most);
    void every_second();
    void change_disk();
    void set_clock();
    void part_network();
    void settle();
    void check_store();

    trace& noted_;
    random_source random_;
    event_queue events_;
    checker judge_;
    catalog known_;
    network_weather weather_;
    store_manners manners_;
    broker_habits habits_;
    machine_clocks clocks_;  // of the broker
    fault_plan faults_;
    std::uint64_t disk_reserve_ = 0;
    const std::unique_ptr<machine> own_machine_;  // none when it runs on another
    machine& machine_;
    slow_store store_;
    broker_host broker_;
    surroundings around_;
    std::vector<wanted_topic> topics_;
    std::unique_ptr<admin_client> admin_;
    std::vector<std::unique_ptr<peer>> clients_;
    std::chrono::microseconds act_max_{60'000};  // between two things that a client does
};

}  // namespace millrace::sim
