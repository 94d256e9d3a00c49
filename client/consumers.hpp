// The consumers of one connection: credit given and taken, messages held, started and handed in. No IO; a part of the machine.
//
//            Subscribed            connection lost            Subscribed
//   opening ───────────► open ◄──────────────────► returning ───────────► open
//                         │ close(): closing ─answered─► gone │ refused: gone
//
// A returning consumer keeps what was started and what was handed in without an answer: it presents these leases with its next Subscribe, and
// hands in again what it gets back. Everything else that it was given is dropped, and comes again.
#pragma once

#include <compare>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/conversation.hpp"
#include "client/held_leases.hpp"
#include "client/lease_ranges.hpp"

namespace millrace::client {

/// The ways in which a lease ends by the will of its holder.
enum class hand_in : std::uint8_t { ack, nack, reject, release };

class consumers {
public:
    explicit consumers(conversation& with) : talk_(with) {}
    consumers(const consumers&) = delete;
    consumers& operator=(const consumers&) = delete;

    consumer_number open(ticket operation, const std::string& topic, const std::string& subscription, const subscribe_options& options);

    /// Gives back what it holds, after the acks given so far. Later acks are ignored and nothing more is delivered.
    void close(ticket operation, consumer_number number);
    void close_all();

    /// False, and ignored, when the message is not held (any more).
    bool start(consumer_number number, const delivery& d);

    /// Ignored when the message was handed in or set aside before. When it is not this consumer's any more, for its connection is lost or the consumer
    /// has ended, the next settlement names it. `reason` is for nack and reject.
    void give(consumer_number number, const delivery& d, hand_in how, const std::string& reason);

    /// Frees the credit of a message that stays leased without being handed in.
    void set_aside(consumer_number number, const delivery& d);

    /// Prolongs a started lease; completes with its settlement.
    void extend(ticket operation, consumer_number number, const delivery& d);

    /// Nothing more is delivered: what is held and not started is released, and so is what is on its way.
    void stop(consumer_number number);

    /// Completes when everything that this consumer handed in so far is answered.
    void settle(ticket operation, consumer_number number);

    /// Sends what gathered: starts; what was handed in while fewer than two of a consumer's requests are unanswered; credit when that doubles what the broker has.
    void end_turn();

    /// Errors end the connection.
    error on_deliver(const proto::frame& frame);
    void on_ended(const wire::ConsumerEnded& message);
    void on_subscribed(const waiting_request& asked, const error& refused, answer content);
    void on_unsubscribed(const waiting_request& asked, const error& refused);
    void on_acked(std::uint64_t id, const waiting_request& asked, const error& refused, answer content);

    /// The operations of a request ran into its timeout; its answer may still come.
    void give_up(std::uint64_t id, const waiting_request& asked, const error& refused);

    /// The connection is lost and will come back: open consumers return.
    void interrupt(const error& reason);
    void resume();

    /// Ends every operation that waits here.
    void fail_all(const error& reason);

    bool idle() const noexcept;

    /// Apart: whether there are leases that somebody else may be given if the client comes back late.
    bool has_something_to_return_for() const noexcept;

private:
    enum class phase : std::uint8_t { opening, open, returning, closing, gone };

    /// A request that hands in, unanswered; or what was handed in too late, in its place among them.
    struct flight {
        std::uint64_t id = 0;
        hand_in how{};
        std::string reason{};
        std::vector<lease_range> ranges{};
        std::vector<ticket> waiting{};
        bool answered = false;
        error refused{};
        std::vector<lost_range> lost{};  // of its ranges
    };

    struct consumer {
        /// Whoever has it may go on with what it holds.
        bool is_usable() const { return state == phase::open || state == phase::returning; }

        phase state = phase::opening;
        std::string topic, subscription, name;  // to subscribe again
        held_leases held;
        std::set<lease> started;       // of them
        std::vector<lease> to_start;   // not told to the broker yet
        credit window;
        credit given;                  // of it, what the broker has and has not used yet
        bool stopped = false;
        std::optional<ticket> close_when_open;
        lease_ranges acks;             // not sent yet
        std::map<std::pair<hand_in, std::string>, lease_ranges> others;  // not sent yet, by reason
        std::vector<ticket> waiting;   // for them
        std::deque<flight> flights;
        std::vector<lost_range> lost;  // not told to anybody yet
        error refused;                 // of what was handed in, not told to anybody yet

        credit to_give() const noexcept { return window - held.total() - given; }
        bool may_give() const noexcept;
        void note(const error& refusal, const std::vector<lost_range>& gone);
        bool has_gathered() const noexcept { return !acks.empty() || !others.empty(); }
        lease_ranges& gathered(hand_in how, const std::string& reason) { return how == hand_in::ack ? acks : others[{how, reason}]; }
    };

    using consumer_map = std::map<consumer_number, consumer>;

    consumer* find(consumer_number number);
    consumer* find_open(consumer_number number);
    consumer* find_usable(consumer_number number);
    void subscribe(std::uint64_t id, consumer_number number, const consumer& c, std::vector<lease_range> held);
    void send_starts(consumer_number number, consumer& c);
    void send_gathered(consumer_number number, consumer& c);
    void send_ranges(consumer_number number, consumer& c, hand_in how, const std::string& reason, lease_ranges& gathered);
    void miss(consumer_number number, consumer& c, const lost_range& one);
    void take_answered(consumer_number number, consumer& c);
    void make_return(consumer_number number, consumer& c);
    void welcome_back(consumer_number number, consumer& c, const std::vector<lost_range>& lost);
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
