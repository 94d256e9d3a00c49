// A consumer process that does everything leases allow, at random: starts late, acks out of order, fails, rejects, gives back, extends, goes silent,
// loses its connection and comes back with its tokens. It publishes too.
#pragma once

#include <map>
#include <set>
#include <tuple>

#include "proto/record.hpp"
#include "tests/sim/peer.hpp"
#include "tests/sim/wire_client.hpp"

namespace millrace::sim {

class lease_client : public peer {
public:
    lease_client(surroundings& around, std::uint64_t number);

    void act() override;

    void cut() override { wire_.cut(); }
    connection* wire() override { return wire_.wire(); }

    /// Holds nothing and waits for nothing.
    bool is_idle() const;

private:
    static constexpr std::uint64_t settling_max = 6;

    struct lease {
        std::uint32_t partition;
        std::uint32_t attempt;
        sequence at;

        auto operator<=>(const lease&) const = default;
    };
    struct consumer {
        reader who;
        known_subscription of;
        bool open = false;
        bool leaving = false;
        std::uint64_t credit = 0;  // messages that may still come
        std::map<lease, bool> held;  // → started
        std::vector<token_range> presented;  // until Subscribed tells which of them are back
    };
    /// Started leases of a consumer that was lost with its connection.
    struct kept_leases {
        known_subscription of;
        std::vector<token_range> tokens;
    };

    void welcomed();
    void lost();
    void pushed(const proto::frame& f);
    void deliver(const wire::Deliver& message, std::span<const std::byte> body);
    void schedule();

    void subscribe(const known_subscription& to, std::vector<token_range> tokens);
    void subscribe_somewhere();
    void unsubscribe(std::uint32_t number);
    void give_credit(std::uint32_t number);
    void start_some(std::uint32_t number);
    void extend_some(std::uint32_t number);
    void hand_in_some(std::uint32_t number, hand_in how, bool everything);
    void publish();
    void publish(const std::string& topic, const known_topic& to);
    void prove_publishing();
    void peek();
    void settle();

    consumer* find(std::uint32_t number);
    /// A run of consecutive leases that are started, or not.
    std::vector<token_range> some_leases(const consumer& c, bool started);

    surroundings& around_;
    wire_client wire_;
    std::map<std::uint32_t, consumer> consumers_;
    std::vector<kept_leases> kept_;
    std::uint32_t last_consumer_ = 0;
    std::uint64_t number_;
    timestamp silent_until_;
    timestamp pinged_at_;
    bool stingy_ = false;  // hardly gives credit
    bool proven_ = false;  // after the faults: publishing goes on
    proto::record_encoder encoder_;
};

}  // namespace millrace::sim
