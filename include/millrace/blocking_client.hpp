// The client for programs that wait: every call returns when its answer is there, or throws.
//
//     millrace::client::blocking_client broker({.server = "127.0.0.1:7070"});
//     broker.publish("photos", {.payload = "cat.jpg"});
//
// Threads: any thread may call; each object has one thread of its own behind it. Calls of several threads are under way together.
// Errors: std::system_error; its code compares equal to a millrace::errc, its what() has the broker's words.
// After outcome_unknown, timed_out or connection_lost an operation may or may not have happened. A lost connection comes back by itself.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "millrace/client_types.hpp"
#include "millrace/error.hpp"

namespace millrace::client {

class blocking_core;
struct blocking_consumer_state;

/// Receives the messages of one subscription. Move-only; destroying it closes it. See consumer in client.hpp for what each call means.
class blocking_consumer {
public:
    blocking_consumer(blocking_consumer&&) noexcept;
    blocking_consumer& operator=(blocking_consumer&&) noexcept;
    ~blocking_consumer();

    /// What has arrived, at least one message; empty when none comes within `limit`.
    std::vector<delivery> receive(std::chrono::milliseconds limit);
    /// Waits for ever.
    std::vector<delivery> receive();

    // These return at once and are sent together; settle() waits for them.
    void start(const delivery& d);
    void ack(const delivery& d);
    void nack(const delivery& d, std::string reason = {});
    void reject(const delivery& d, std::string reason = {});
    void release(const delivery& d);

    /// The message stays for a visibility timeout from now; false when somebody else has it.
    bool extend(const delivery& d);

    /// Returns when all that was handed in is durable; names what came too late.
    settlement settle();

    /// Sends what was handed in and gives back the rest.
    void close();

private:
    friend class blocking_client;
    explicit blocking_consumer(std::unique_ptr<blocking_consumer_state> state);
    std::unique_ptr<blocking_consumer_state> state_;
};

class blocking_client {
public:
    /// Connects.
    explicit blocking_client(connection_settings settings = {});
    /// Waits for what is under way, and closes.
    ~blocking_client();
    blocking_client(const blocking_client&) = delete;
    blocking_client& operator=(const blocking_client&) = delete;

    const broker_description& broker() const noexcept;

    topic_description create_topic(std::string name, topic_settings settings = {});
    topic_description update_topic(std::string name, topic_settings settings);
    topic_description describe_topic(std::string name);
    std::vector<std::string> list_topics();
    void delete_topic(std::string name, bool force = false);
    void purge_topic(std::string name);

    subscription_description create_subscription(std::string topic, std::string name, subscription_settings settings = {}, start_position start = {});
    subscription_description update_subscription(std::string topic, std::string name, subscription_settings settings);
    subscription_description describe_subscription(std::string topic, std::string name);
    std::vector<std::string> list_subscriptions(std::string topic);
    void delete_subscription(std::string topic, std::string name, bool force = false);

    receipt publish(std::string topic, message m, publish_options options = {});
    /// All of them under way together; returns when all are answered, and throws the first refusal then.
    std::vector<receipt> publish_all(std::string topic, std::vector<message> messages, publish_options options = {});
    peeked peek(std::string topic, peek_options options = {});
    blocking_consumer subscribe(std::string topic, std::string subscription, subscribe_options options = {});

private:
    std::shared_ptr<blocking_core> core_;
};

}  // namespace millrace::client
