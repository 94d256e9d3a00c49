// Publishing on one connection: topics to ids, messages to batches, batches to frames within the broker's credit. No IO; a part of the machine.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "client/conversation.hpp"
#include "client/producer_numbers.hpp"
#include "proto/record.hpp"

namespace millrace::client {

struct publisher_settings {
    std::string producer;  // empty: unnamed
    duration linger{};
    proto::compression compression = proto::compression::none;
};

class publisher {
public:
    publisher(conversation& with, publisher_settings settings) : talk_(with), settings_(settings) {}
    publisher(const publisher&) = delete;
    publisher& operator=(const publisher&) = delete;

    /// The credit and limits of this connection.
    void on_welcome(const wire::Welcome& welcome);

    bool is_named() const noexcept { return !settings_.producer.empty(); }

    /// Of a named producer: what the broker has taken. What was sent before and not taken is sent again.
    void on_opened(const wire::ProducerOpened& as) { numbers_.opened(as); }

    /// Another client has opened this producer: every publish ends with `reason` from now on, until the machine is another one.
    void fence(const error& reason);
    bool is_fenced() const noexcept { return static_cast<bool>(fenced_); }

    /// The connection may be used. Nothing is published before.
    void resume();

    /// Ends in one `published` event. Messages of one partition are sent in the order of these calls; a batch that is full at once, as credit allows.
    void publish(ticket operation, std::string_view topic, message&& m, publish_options options);

    /// Sends what may go: full batches as credit allows, others while few batches are unanswered.
    void end_turn();

    /// From now on nothing waits for linger.
    void hurry() { settings_.linger = {}; }

    void on_metadata(std::uint64_t id, const error& refused, const wire::MetadataOk* content);
    void on_published(std::uint64_t id, const wire::Published& content);
    /// The error, if there is one, ends the connection: what became of a numbered batch is found out by coming back.
    error on_refused(std::uint64_t id, const error& refused);

    /// A topic was described on this connection: more partitions are used from now on.
    void on_topic_seen(std::string_view name, std::uint32_t id, std::size_t partitions);

    /// The operations of a request ran into its timeout; its answer may still come.
    void give_up(std::uint64_t id, const waiting_request& asked, const error& refused);

    /// Ends batches that were held back for too long.
    void time_passed();
    moment next_deadline() const;

    /// The connection is lost and will come back: what was not sent waits for it, and so does what was not answered when `resend` is set. Batches
    /// that have a number keep it, and their bytes.
    void interrupt(const error& reason, bool resend);

    /// Ends every operation that waits here.
    void fail_all(const error& reason);

    bool idle() const noexcept;

private:
    /// One publish() and what is to become of its message.
    struct placing {
        std::uint64_t call;  // the how-manieth it was
        ticket operation;
        publish_options options;
        bool second_try = false;  // see batch
        std::optional<std::uint32_t> partition{};  // where it was before, if that is there: what follows it there must not overtake it
        std::uint32_t topic = 0;                   // whose partition that was
    };

    struct parked_publish {
        placing to;
        message content;
        moment asked;
    };

    struct batch;

    /// What is known of a topic, and its batches that still grow.
    struct route {
        std::string name;
        std::uint32_t id = 0;
        bool known = false;
        bool resolving = false;
        std::vector<std::unique_ptr<batch>> open;  // by partition
        std::uint32_t sticky = 0;                  // where messages without a key go until that batch closes
        std::vector<parked_publish> parked;        // until the topic is known; in any order
    };

    struct batch {
        route* to;
        std::uint32_t partition;
        durability least;
        bool second_try;  // the topic's id was looked up again for it: another no_such_topic is final
        moment opened;
        record_buffer records;
        std::vector<ticket> operations;
        std::vector<std::uint64_t> calls;  // of the operations: the how-manieth publish() each was
        std::size_t count = 0;  // records, once it is sent: also after its operations were given up
        std::uint32_t topic = 0;   // id, once it is sent
        std::uint64_t number = 0;  // by a named producer, once it is sent

        bool follows_refused = false;  // the broker did not take what had the number before: it does not take this one

        producer_numbers::place place() const noexcept { return {topic != 0 ? topic : to->id, partition}; }
    };

    struct name_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
    };

    route& route_to(std::string_view topic);
    void resolve(route& r);
    void resolve_parked();
    void expire_parked(const error& refused);
    error learn(route& r, const wire::MetadataOk& content);
    void append(route& r, const message& m, const placing& to);
    std::uint32_t partition_for(const route& r, const message& m, const placing& to) const;
    batch& open_batch(route& r, std::uint32_t partition, publish_options options, std::size_t bytes_at_most, bool second_try);
    void close(batch& b);  // and sends what may go; only a connected publisher has one to close
    std::unique_ptr<batch> take_open(batch& b);
    void resize(route& r, std::size_t partitions);
    void park_again(batch& b);
    void park_all(std::vector<std::unique_ptr<batch>> batches);
    void park_all_of(route& r, std::uint32_t gone);
    bool may_send(const batch& b) const noexcept;
    void send_closed();
    void send(std::unique_ptr<batch> b);
    void give_up(batch& b, const error& refused);
    void refuse_followers(const batch& b, const error& refused);
    void renumber();
    std::unique_ptr<batch> take_in_flight(std::uint64_t id);
    void finish(std::unique_ptr<batch> b, sequence first, durability level, const error& refused);
    void finish_one(ticket operation, const error& refused);
    record_buffer empty_buffer();
    void recycle(record_buffer buffer);

    conversation& talk_;
    publisher_settings settings_;
    proto::record_encoder encoder_;

    std::size_t credit_messages_ = 1;
    std::uint64_t credit_bytes_ = 1;
    std::size_t batch_messages_max_ = 1;
    std::size_t batch_bytes_max_ = 1;
    std::size_t message_bytes_max_ = limits::message_bytes;
    producer_numbers numbers_;
    error fenced_;

    // Routes are never erased, so that batches may point to them; there are as many as topics this connection published to.
    std::unordered_map<std::string, std::unique_ptr<route>, name_hash, std::equal_to<>> routes_;
    route* last_route_ = nullptr;
    std::vector<route*> all_routes_;  // in the order they were first used, so that nothing depends on hashes
    bool connected_ = false;          // false: no topic can be looked up
    std::map<std::uint64_t, route*> lookups_;  // metadata requests under way

    std::uint64_t calls_ = 0;  // of publish()
    std::vector<batch*> open_;                     // in the order they were opened; owned by their routes
    std::deque<std::unique_ptr<batch>> closed_;    // wait for credit, in order; those with numbers of an earlier connection first
    std::map<std::uint64_t, std::unique_ptr<batch>> in_flight_;  // by request id
    std::size_t in_flight_messages_ = 0;
    std::uint64_t in_flight_bytes_ = 0;

    std::vector<record_buffer> spare_;  // growing a megabyte again for each batch costs as much as filling it
    std::size_t operations_last_ = 0;   // of the last batch: the next one is mostly as long
    std::size_t bytes_last_ = 0;
};

}  // namespace millrace::client
