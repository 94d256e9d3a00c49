// Whoever sets up topics and subscriptions: makes what is wanted and missing, looks at the numbers, and now and then deletes, purges, grows and changes.
// One request at a time, so that what one description says can be held against the one before.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/wire_client.hpp"

namespace millrace::sim {

struct wanted_topic {
    std::string name;
    std::uint32_t partitions = 1;
    bool stays = true;
    bool library = true;
    std::uint64_t keep_bytes = 0;
    std::uint64_t max_backlog = 0;
    std::chrono::milliseconds max_age{0};
    bool expires = false;  // at its limit; else publishing is refused
};

struct wanted_subscription {
    std::string topic, name;
    std::chrono::milliseconds visibility{5'000};
    std::uint32_t max_deliveries = 3;
    std::chrono::milliseconds backoff_min{200}, backoff_max{2'000};
    std::string dead_letter;
    bool guest = false;  // comes and goes
};

class admin_client {
public:
    admin_client(surroundings& around, std::vector<wanted_topic> topics, std::vector<wanted_subscription> subscriptions);

    void act();
    void cut() { wire_.cut(); }

    bool has_everything() const;
    /// All subscriptions were described after settling began, and nothing is outstanding in any.
    bool is_all_settled() const;
    /// One line for each that is not settled.
    std::string unsettled() const;

private:
    struct described {
        timestamp when;
        std::vector<described_progress> partitions;
    };

    template <class Make>
    void ask(Make make, std::function<void(const proto::frame&)> then);
    void create(const wanted_topic& t);
    void create(const wanted_subscription& s);
    void learn(const wanted_topic& t, const wire::TopicInfo& info);
    void learn(const wanted_subscription& s, const wire::SubscriptionInfo& info);
    void describe(const known_subscription& s);
    void change_something();
    void forget_topic(const std::string& name);
    void forget_subscription(const known_subscription& s);
    const known_subscription* known(const wanted_subscription& s) const;
    void skip_while_uncertain();

    surroundings& around_;
    wire_client wire_;
    std::vector<wanted_topic> topics_;
    std::vector<wanted_subscription> subscriptions_;
    std::map<std::uint32_t, described> described_;
    std::map<std::uint32_t, timestamp> purged_until_;  // topics of which anything may be skipped until then
    std::size_t next_described_ = 0;
    timestamp guests_from_;
    bool busy_ = false;
};

}  // namespace millrace::sim
