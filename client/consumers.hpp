// The consumers of one connection: credit given and taken, messages held, acks gathered and answered. No IO; a part of the machine.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "client/conversation.hpp"
#include "client/held_leases.hpp"
#include "client/lease_ranges.hpp"

namespace millrace::client {

class consumers {
public:
    explicit consumers(conversation& with) : talk_(with) {}
    consumers(const consumers&) = delete;
    consumers& operator=(const consumers&) = delete;

    consumer_number open(ticket operation, const std::string& topic, const std::string& subscription, const subscribe_options& options);

    /// Gives back what it holds, after the acks given so far. Later acks are ignored and nothing more is delivered.
    void close(ticket operation, consumer_number number);
    void close_all();

    /// Ignored when the message is not held: acked before, or its consumer is gone.
    void ack(consumer_number number, const delivery& d);

    /// Frees the credit of a message that stays leased without being acked.
    void set_aside(consumer_number number, const delivery& d);

    /// Completes when every ack of this consumer so far is answered.
    void settle(ticket operation, consumer_number number);

    /// Sends what gathered: acks while fewer than two of a consumer's are unanswered, credit by halves of its window.
    void end_turn();

    /// Errors end the connection.
    error on_deliver(const proto::frame& frame);
    void on_ended(const wire::ConsumerEnded& message);
    void on_subscribed(const waiting_request& asked, const error& refused, answer content);
    void on_unsubscribed(const waiting_request& asked, const error& refused);
    void on_acked(std::uint64_t id, const waiting_request& asked, const error& refused, answer content);

    /// The operations of a request ran into its timeout; its answer may still come.
    void give_up(std::uint64_t id, const waiting_request& asked, const error& refused);

    /// Ends every operation that waits here.
    void fail_all(const error& reason);

    bool idle() const noexcept;

private:
    enum class phase : std::uint8_t { opening, open, closing, gone };

    struct ack_flight {
        std::uint64_t id;
        std::vector<ticket> waiting;
        bool answered = false;
    };

    struct consumer {
        phase state = phase::opening;
        held_leases held;
        std::uint32_t window_messages = 0;
        std::uint64_t window_bytes = 0;
        std::uint64_t may_come = 0;    // messages of the credit given that have not been delivered
        held_leases::freed to_give;    // credit that came free and was not given yet
        lease_ranges acks;             // not sent yet
        std::vector<ticket> waiting;   // for them
        std::deque<ack_flight> flights;
        std::vector<lost_range> lost;  // not told to anybody yet
        error refused;                 // of an ack, not told to anybody yet
    };

    using consumer_map = std::map<consumer_number, consumer>;

    consumer* find(consumer_number number);
    consumer* find_open(consumer_number number);
    void free_credit(consumer& c, held_leases::freed freed);
    void send_acks(consumer_number number, consumer& c);
    void send_credit(consumer_number number, consumer& c);
    void unsubscribe(ticket operation, consumer_number number, consumer& c);
    void end(consumer_number number, consumer& c, const error& reason);
    void report(consumer& c, const std::vector<ticket>& waiting);
    void forget_if_done(consumer_number number, const consumer& c);

    conversation& talk_;
    consumer_map consumers_;
    std::uint32_t last_number_ = 0;
};

}  // namespace millrace::client
