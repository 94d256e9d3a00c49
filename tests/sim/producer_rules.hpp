// What is promised to named producers (design §5), as a part of the checker: it hears who opened which name, what was sent and answered, and where each
// message is.
//
//   a numbered batch is stored once at most, and answered alike each time · what one producer sends to a partition is stored in that order
//   each opening has a larger epoch, and tells of everything that was answered · nobody returns after another has opened the name
//   a fenced process stores nothing after the newer one was answered · nobody is fenced but by another process
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "millrace/message.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::sim {

/// The number that the checker gave a message; it is in its payload.
enum class message_number : std::uint64_t {};

/// One process that publishes under a producer's name. It may lose its connection and return; whoever starts anew is another one.
enum class incarnation_key : std::uint64_t {};

class producer_rules {
public:
    struct position {
        std::uint32_t topic = 0, partition = 0;
        std::uint64_t number = 0;  // of the last batch taken
    };
    struct batch {
        std::uint32_t topic = 0, partition = 0;
        std::uint64_t number = 0;
    };

    // ---- topics: what is remembered of their batches goes with them ----

    void topic_created(std::uint32_t topic) { forgotten_.erase(topic); }
    void topic_forgotten(std::uint32_t topic);

    // ---- opening ----

    incarnation_key begins(const std::string& name);
    /// For the first time, or because it returns.
    void opening_sent(incarnation_key who);
    void opening_answered(incarnation_key who, std::uint32_t epoch, const std::vector<position>& told);
    /// It was told that another process has opened its name.
    void fenced(incarnation_key who);
    /// Openings that were under way have come to it, or never will.
    void broker_crashed();

    // ---- publishing ----

    /// A message goes out for the first time. Those of one process for one partition are told in the order in which they are sent.
    void sent(incarnation_key who, message_number number);
    /// The broker must refuse the batch that it is in: a wrong number, other messages than before, or an old epoch.
    void must_be_refused(message_number number) { refused_.insert(number); }
    void answered(incarnation_key who, const batch& b, sequence first, std::size_t count);

    /// Message `number` is there. Says nothing of messages that no named producer has sent.
    void stored(std::uint32_t topic, std::uint32_t partition, sequence at, message_number number);

    /// Whether it was sent by a named producer: its answer may come twice.
    bool is_numbered(message_number number) const { return sent_.contains(number); }

private:
    struct opening {
        incarnation_key who{};
        std::uint64_t sent = 0, answered = 0;  // when, by the count of what was told; 0: not
        bool is_over = false;                  // the broker crashed before it answered: it came before, or never
    };
    struct answered_batch {
        sequence first;
        std::size_t count = 0;
        std::uint64_t when = 0;  // by the count of what was told
    };
    using place = std::pair<std::uint32_t, std::uint32_t>;  // topic, partition
    /// Who stored a message, by the first epoch of its process, and which.
    using rank = std::pair<std::uint32_t, message_number>;

    struct producer {
        std::vector<opening> openings;
        std::set<std::uint32_t> epochs;
        incarnation_key newest{};  // who has the largest epoch that was answered
        std::map<place, std::map<std::uint64_t, answered_batch>> batches;
        std::map<place, std::map<sequence, rank>> order;
    };
    struct incarnation {
        std::string name;
        std::uint32_t first_epoch = 0;
        std::uint32_t largest_when_sent = 0;  // of the epochs that had been answered to anybody when its opening went out
    };

    void check_positions(const std::string& name, std::uint64_t sent, const std::vector<position>& told) const;

    std::vector<incarnation> incarnations_;  // by key - 1
    std::map<std::string, producer> producers_;
    std::map<message_number, incarnation_key> sent_;
    std::set<message_number> refused_, too_late_;
    std::map<std::pair<message_number, std::uint32_t>, std::pair<std::uint32_t, sequence>> stored_;  // message and topic → partition and sequence
    std::set<std::uint32_t> forgotten_;
    std::uint64_t told_ = 0;
};

}  // namespace millrace::sim
