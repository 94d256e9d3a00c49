// Convicts the broker: fed with what clients sent, what they were answered and what was delivered to them, and with nothing else, it throws the
// first promise that was broken. It knows the guarantees (design §3, §4, §6) and nothing of how they are kept.
//
//   no answered publish is lost · no answered ack is delivered again · payloads arrive intact, each in its one place
//   first deliveries of a partition come to one consumer in order · nobody else is given a message while its lease lasts
//   dead letters arrive once, with their true origin · nothing comes before its backoff · the numbers add up and never go back
//   and what is promised to named producers: tests/sim/producer_rules.hpp
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "millrace/message.hpp"
#include "tests/sim/producer_rules.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::sim {

/// A client's connection; never used twice in a run.
enum class session_key : std::uint64_t {};
/// A request that hands messages in.
enum class hand_in_key : std::uint64_t {};

struct token_range {
    std::uint32_t partition = 0;
    sequence first, last;
    std::uint32_t attempt = 1;
};

enum class hand_in { ack, nack, reject, release };

/// A consumer of one session, and what it reads.
struct reader {
    session_key session{};
    std::uint32_t consumer = 0;
    std::uint32_t subscription = 0;
    std::uint32_t topic = 0;
};

struct delivered_message {
    std::uint32_t partition = 0;
    sequence at;
    std::uint32_t attempt = 1;
    std::string payload;
};

struct dead_letter {
    std::string topic, subscription;  // where it died
    std::uint32_t partition = 0;
    sequence at;
    std::uint32_t failures = 0;
};

struct subscription_promise {
    std::string topic_name, name;
    std::uint32_t topic = 0;
    std::vector<sequence> starts;
    std::chrono::milliseconds visibility{30'000};
    std::chrono::milliseconds backoff_min{1'000};
    std::uint32_t max_deliveries = 5;
    std::string dead_letter_topic;
    bool stays = true;  // its names are used once in a run: a dead letter that names them is its own
};

/// The states of one subscription in one partition, as the broker describes them.
struct described_progress {
    sequence start, cursor, high;
    std::uint64_t published = 0;
    std::uint64_t acked = 0, dead = 0, parked = 0, expired = 0, skipped = 0, delayed = 0, ready = 0, leased = 0;
};

class checker {
public:
    static constexpr std::chrono::milliseconds session_grace{10'000};

    /// The payload of message `number`: `bytes` long at least, recognisable byte by byte.
    static std::string payload_of(message_number number, std::size_t bytes);

    // ---- topics and subscriptions ----

    void topic_created(std::uint32_t topic, const std::string& name);
    /// It is deleted, or may be: of its producers nothing is promised until it is known again.
    void topic_forgotten(std::uint32_t topic) { producers_.topic_forgotten(topic); }
    void subscription_created(std::uint32_t subscription, subscription_promise promise);
    /// Nothing is promised for it any more.
    void subscription_forgotten(std::uint32_t subscription) { subscriptions_.erase(subscription); }
    /// A purge or a limit may settle any message of the topic that has been sent by now.
    void may_skip(std::uint32_t topic) { skipped_to_[topic] = sent_.size(); }

    // ---- publishing ----

    /// A message is about to be sent to a topic; it goes out as payload_of(number, bytes).
    message_number publish(const std::string& topic, std::size_t bytes);
    void publish_answered(std::uint32_t topic, std::uint32_t partition, sequence first, const std::vector<message_number>& numbers);

    /// What named producers open, send and are told. Their messages are told to publish() and publish_answered() too.
    producer_rules& producers() { return producers_; }
    /// Somebody has looked at a message without taking it.
    void seen(std::uint32_t topic, const delivered_message& m, const std::optional<dead_letter>& died = {}) { check_content(topic, m, died); }

    // ---- consuming ----

    /// Its number may have been another consumer's before.
    void consumer_opened(const reader& consumer);
    void delivered(timestamp now, const reader& to, const delivered_message& m, const std::optional<dead_letter>& died = {});
    void start_sent(timestamp now, const reader& from, const std::vector<token_range>& ranges);
    void extend_answered(timestamp sent, const reader& from, const std::vector<token_range>& ranges, const std::vector<token_range>& lost);
    /// A returning consumer shows its leases: each may be its own again, and end badly, though the answer is never heard.
    void adoption_sent(const reader& by, const std::vector<token_range>& presented);
    /// It got these leases back, but for the lost ones. REQUIRES adoption_sent() before.
    void adopted(timestamp sent, timestamp now, const reader& by, const std::vector<token_range>& presented, const std::vector<token_range>& lost);

    hand_in_key hand_in_sent(timestamp now, const reader& from, hand_in how, std::vector<token_range> ranges);
    void hand_in_answered(timestamp now, hand_in_key which, const std::vector<token_range>& lost);
    /// The answer will never come, or was a refusal: it may have happened or not.
    void hand_in_unanswered(hand_in_key which) { under_way_.erase(which); }

    /// The consumer gives everything back.
    void closed(const reader& consumer);

    // ---- faults ----

    /// The connection is cut, or one side gave it up.
    void session_lost(timestamp now, session_key session);
    /// The broker has ended the session: what still arrives from it says nothing about leases.
    void session_ended(timestamp now, session_key session);
    /// The broker died: leases are forgotten, answers under way will not come.
    void broker_crashed();
    /// From now on the broker's clock may run at up to so many thousandths of the time that this is told: what it promises to wait for may be over so
    /// much earlier.
    void clocks_run_up_to(std::uint64_t in_1000) { fastest_in_1000_ = in_1000; }
    /// Broker time has gone on by more than time has: what waited for a time may come.
    void time_leapt();

    // ---- what the broker says of itself ----

    /// The next description must not be older than what is known now.
    void describe_sent();
    void described(std::uint32_t subscription, const std::vector<described_progress>& partitions);

    /// Everything has come to rest: every answered message is accounted for on every subscription that is promised.
    void settle_accounts() const;

    std::uint64_t deliveries() const { return deliveries_; }
    std::uint64_t dead_letters() const { return dead_arrived_.size(); }

private:
    static constexpr timestamp for_ever = timestamp::max();

    /// acked_in_time: by a holder whose lease lasted; a late ack is answered too when the message is settled already.
    enum flag : std::uint8_t { acked = 1, acked_in_time = 2, ack_sent = 4, rejected = 8, reject_sent = 16, dead = 32 };

    using place = std::tuple<std::uint32_t, std::uint32_t, sequence>;  // topic, partition, sequence

    struct sent_message {
        std::string topic;
        std::size_t bytes = 0;
    };
    struct partition_history {
        std::vector<std::uint64_t> content;  // the message at each sequence; 0: not known
        std::vector<bool> promised;          // of these, what an answer vouched for
    };
    struct holding {
        session_key session{};
        std::uint32_t consumer = 0;
        std::uint32_t attempt = 1;
        timestamp until = for_ever;  // nobody else may be told of the message before
        bool start_known = false;    // the broker has confirmed that it is started

        bool is(const reader& by, std::uint32_t given) const { return session == by.session && consumer == by.consumer && attempt == given; }
    };
    struct progress_history {
        std::vector<std::uint8_t> flags;  // by sequence
        std::map<sequence, holding> held;
        std::map<sequence, timestamp> not_before;
        std::map<sequence, timestamp> settled_when;  // by an answer
        // Attempts that ended badly: known <= true <= possible. A crash may forget what is not known yet, and nothing more.
        std::map<sequence, std::uint32_t> known_failures;  // answered, of a lease that lasted
        std::map<sequence, std::uint32_t> failures;        // everything that may have counted
        described_progress told;
    };
    struct subscription_history {
        subscription_promise promise;
        std::uint64_t others_first = 0;  // messages sent before it began may have been settled by others, and gone
        std::vector<progress_history> partitions;
    };
    struct hand_in_under_way {
        reader from;
        hand_in how{};
        timestamp sent;
        std::vector<token_range> ranges;
        std::map<std::tuple<std::uint32_t, std::uint32_t, sequence>, timestamp> protected_until;  // by partition, attempt, sequence: what it held
    };
    using origin_of_dead = std::tuple<std::string, std::string, std::uint32_t, sequence>;

    void bind(std::uint32_t topic, std::uint32_t partition, sequence at, std::uint64_t number, bool promise);
    std::uint64_t number_in(const std::string& payload) const;
    void check_content(std::uint32_t topic, const delivered_message& m, const std::optional<dead_letter>& died);
    void check_dead_letter(std::uint32_t topic, const delivered_message& m, const dead_letter& died, std::uint64_t number);
    void hold(timestamp until, const reader& by, std::uint32_t partition, sequence at, std::uint32_t attempt, bool start_known, timestamp now);
    progress_history* find(std::uint32_t subscription, std::uint32_t partition);
    std::uint8_t& flags_of(progress_history& p, sequence at);
    void lose(timestamp now, session_key session);

    producer_rules producers_;
    std::vector<sent_message> sent_;  // by number - 1
    std::map<std::uint32_t, std::string> topics_;
    std::map<std::uint32_t, std::uint64_t> skipped_to_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, partition_history> partitions_;
    std::map<std::uint32_t, subscription_history> subscriptions_;
    std::map<hand_in_key, hand_in_under_way> under_way_;
    std::map<std::tuple<session_key, std::uint32_t, std::uint32_t>, sequence> next_first_;  // by consumer and partition
    std::set<session_key> lost_, ended_;
    std::map<origin_of_dead, place> dead_arrived_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, sequence> known_high_, high_when_asked_;
    std::chrono::microseconds lasting(std::chrono::milliseconds promised) const { return std::chrono::microseconds{promised} * 1000 / fastest_in_1000_; }

    std::uint64_t fastest_in_1000_ = 1000;
    std::uint64_t last_hand_in_ = 0;
    std::uint64_t deliveries_ = 0;
};

}  // namespace millrace::sim
