// Everything of a run: the network, the broker on its disk, the client hosts with their producers and consumers, and the judge.
#pragma once

#include <memory>
#include <vector>

#include "tests/blackbox/broker.hpp"
#include "tests/blackbox/consumer.hpp"
#include "tests/blackbox/history.hpp"
#include "tests/blackbox/network.hpp"
#include "tests/blackbox/producer.hpp"
#include "tests/blackbox/scene.hpp"
#include "tests/blackbox/watcher.hpp"
#include "tests/process/blocking_client.hpp"

namespace millrace::blackbox {

class world {
public:
    static constexpr host_number broker_host = 1;
    static constexpr host_number first_client_host = 2;
    static constexpr unsigned client_hosts = 3;
    /// After the last fault everything is settled within so long: a lost lease, ten failures with their pauses, and the way back of every client.
    static constexpr std::chrono::seconds settled_within{90};

    /// Its disk is large enough for so many minutes. Throws std::runtime_error with the reason where such a world cannot be made.
    world(std::uint64_t seed, double minutes);
    ~world();

    history& told() { return told_; }
    network& wires() { return wires_; }
    process::small_disk& disk() { return disk_; }
    broker_under_test& broker() { return broker_; }
    host& client_host(std::size_t i) { return *hosts_.at(i)->machine; }

    /// It is gone, and comes back.
    void restart_broker();

    /// The clients begin.
    void begin();

    /// No fault is left: waits until everything is settled, or says what is not, ends the clients and the broker, and holds the accounts against each other.
    /// How long it took until all was settled.
    milliseconds finish();

private:
    struct client_host_state {
        std::unique_ptr<host> machine;
        std::vector<std::unique_ptr<producer>> producers;
        std::vector<std::unique_ptr<consumer>> consumers;
    };

    void create_topics();
    void add_topic(process::blocking_client& admin, const std::string& name, std::uint32_t partitions);
    void add_subscription(process::blocking_client& admin, const topic_in_use& of, const std::string& name, const client::subscription_settings& how);
    void populate(client_host_state& on);
    void depopulate();
    bool is_settled();
    std::string unsettled();

    sim::random_source random_;
    process::small_disk disk_;  // before any thread: its mount is this process's own
    history told_;
    network wires_;
    host home_;
    broker_under_test broker_;
    scene scene_;
    std::vector<std::unique_ptr<client_host_state>> hosts_;
    std::unique_ptr<watcher> watcher_;
};

}  // namespace millrace::blackbox
