// A process that uses the client library's state machine as it is: it publishes by name, consumes, acks in bursts and asks for settlement.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "client/machine.hpp"
#include "tests/sim/surroundings.hpp"

namespace millrace::sim {

class library_client {
public:
    library_client(surroundings& around, std::uint64_t number) : around_(around), number_(number) {}

    void act();
    void cut();

private:
    struct publish_under_way {
        std::string topic;
        message_number number{};
    };
    struct consumer {
        reader who;
        std::string topic;
        bool open = false;
        std::vector<client::delivery> held;
        std::vector<hand_in_key> acked;  // not settled yet
        bool settling = false;
    };

    void connect();
    void turn();
    void drop();
    void arm();
    void publish();
    void subscribe();
    void ack_some(client::consumer_number number, consumer& c);
    void note(client::published& e);
    void note(client::delivered& e);
    void settled(client::consumer_number number, const std::vector<hand_in_key>& keys, const client::completed& e);

    client::moment moment_now() const { return client::moment(std::chrono::duration_cast<client::duration>(around_.now().time_since_epoch())); }

    surroundings& around_;
    std::uint64_t number_;
    std::shared_ptr<connection> wire_;
    std::unique_ptr<client::machine> machine_;
    session_key session_{};
    std::uint64_t last_ticket_ = 0;
    std::map<client::ticket, publish_under_way> publishing_;
    std::map<client::ticket, std::function<void(const client::completed&)>> asked_;
    std::map<client::consumer_number, consumer> consumers_;
    std::optional<client::moment> armed_;
    std::uint64_t life_ = 0;
};

}  // namespace millrace::sim
