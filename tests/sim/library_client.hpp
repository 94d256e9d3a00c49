// A process that uses the client library's state machine as it is: it publishes by name, in some runs as a named producer, consumes, starts some of what it
// has, acks in bursts and asks for settlement. In some runs its connection comes back by itself, and it goes on with what came before, as a program does that
// has not heard of it; now and then it dies and begins anew.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "client/machine.hpp"
#include "tests/sim/peer.hpp"
#include "tests/sim/surroundings.hpp"

namespace millrace::sim {

class library_client : public peer {
public:
    library_client(surroundings& around, std::uint64_t number);

    void act() override;
    void cut() override;
    connection* wire() override { return wire_.get(); }

private:
    struct publish_under_way {
        std::string topic;
        message_number number{};
    };
    struct held_delivery {
        client::delivery what;
        bool started = false;
        std::optional<reader> given_to{};  // in a session that is gone, and with it the lease
    };
    struct ack_under_way {
        hand_in_key key{};
        token_range what;
        bool was_gone = false;  // the lease, when it was handed in
        bool lost = false;
    };
    struct consumer {
        reader who;
        bool open = false;
        std::vector<held_delivery> held;
        std::vector<ack_under_way> acked;     // nobody has asked for their settlement yet
        std::vector<ack_under_way> settling;  // somebody has
    };

    // its connection
    void begin();
    void connect();
    void leave_connection();
    void end();
    void received(std::span<const std::byte> bytes);
    void turn();
    void send();
    void arm();

    // what comes out of the machine
    void note(client::published& e);
    void note(client::delivered& e);
    void note(client::completed& e);
    void note(client::consumer_interrupted& e);
    void note(client::leases_lost& e);
    void note(client::consumer_ended& e);
    void note(client::welcomed& e);
    void note(client::ended& e);
    static void mark_lost(consumer& c, const token_range& one);
    void settled(client::consumer_number number, const client::completed& e);

    // what it does
    void publish();
    void subscribe();
    void unsubscribe();
    void start_some(client::consumer_number number, consumer& c);
    void ack_some(client::consumer_number number, consumer& c);

    bool is_named() const { return !producer_.empty(); }
    client::moment moment_now() const { return client::moment(clocks_.steady(around_.now())); }

    surroundings& around_;
    std::uint64_t number_;
    machine_clocks clocks_;
    std::string producer_;  // empty: unnamed
    bool returns_ = false;
    std::shared_ptr<connection> wire_;
    std::unique_ptr<client::machine> machine_;
    session_key session_{};
    incarnation_key incarnation_{};  // of a named producer
    bool fenced_ = false;
    timestamp connect_at_;
    std::uint64_t last_ticket_ = 0;
    std::map<client::ticket, publish_under_way> publishing_;
    std::map<client::ticket, std::function<void(const client::completed&)>> asked_;
    std::map<client::consumer_number, consumer> consumers_;
    std::optional<client::moment> armed_;
    std::uint64_t life_ = 0;
};

}  // namespace millrace::sim
