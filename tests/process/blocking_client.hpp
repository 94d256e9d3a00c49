// The public client, one call after the other: each runs the client until it is answered.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "millrace/client.hpp"
#include "tests/process/child_process.hpp"

namespace millrace::process {

template <class T>
struct answered {
    boost::system::error_code code;
    T value;

    bool is(errc expected) const { return code == make_error_code(expected); }
};

class blocking_client {
public:
    explicit blocking_client(const std::string& server) : blocking_client(settings_for(server)) {}
    explicit blocking_client(client::connection_settings settings) : blocking_client(std::make_shared<boost::asio::io_context>(1), std::move(settings)) {}

    /// One more connection, that goes on whenever `beside` is run, and the other way round: neither is idle while the test waits for the other.
    blocking_client(const blocking_client& beside, const std::string& server) : blocking_client(beside.io_, settings_for(server)) {}

    client::connection& broker() { return broker_; }

    /// `start(connection, handler)` starts the operation.
    template <class T, class Start>
    answered<T> call(Start start) {
        answered<T> outcome{};
        bool over = false;
        start(broker_, [&](boost::system::error_code code, T content) {
            outcome = {code, std::move(content)};
            over = true;
        });
        run_until([&] { return over; });
        return outcome;
    }

    /// Runs what is under way until `reached()`. Throws when that does not come.
    template <class Condition>
    void run_until(Condition reached) {
        const auto give_up = std::chrono::steady_clock::now() + patience;
        while (!reached()) {
            if (std::chrono::steady_clock::now() > give_up) throw std::runtime_error("the broker does not answer");
            io_->restart();
            io_->run_one_for(100ms);
        }
    }

    void create_topic(const std::string& name, client::topic_settings settings = {}) {
        value(call<client::topic_description>([&](auto& b, auto done) { b.async_create_topic(name, settings, std::move(done)); }));
    }

    void create_subscription(const std::string& topic, const std::string& name, client::subscription_settings settings = {}) {
        value(call<client::subscription_description>(
            [&](auto& b, auto done) { b.async_create_subscription(topic, name, settings, {}, std::move(done)); }));
    }

    client::subscription_description describe(const std::string& topic, const std::string& name) {
        return value(call<client::subscription_description>(
            [&](auto& b, auto done) { b.async_describe_subscription(topic, name, std::move(done)); }));
    }

    answered<client::receipt> publish(const std::string& topic, const std::string& payload, client::publish_options options = {}) {
        return call<client::receipt>([&](auto& b, auto done) { b.async_publish(topic, {.payload = payload}, options, std::move(done)); });
    }

    client::consumer subscribe(const std::string& topic, const std::string& name, client::subscribe_options options = {}) {
        return value(call<client::consumer>([&](auto& b, auto done) { b.async_subscribe(topic, name, options, std::move(done)); }));
    }

    std::vector<client::delivery> receive(client::consumer& from) {
        return value(call<client::received>([&](auto&, auto done) { from.async_receive(std::move(done)); })).deliveries;
    }

    client::settlement settle(client::consumer& with) {
        return value(call<client::settlement>([&](auto&, auto done) { with.async_settle(std::move(done)); }));
    }

    /// The value, or throws with the refusal.
    template <class T>
    static T value(answered<T> outcome) {
        if (outcome.code) throw std::runtime_error(outcome.code.message());
        return std::move(outcome.value);
    }

private:
    blocking_client(std::shared_ptr<boost::asio::io_context> io, client::connection_settings settings)
        : io_(std::move(io)), broker_(io_->get_executor(), std::move(settings)) {
        value(call<client::broker_description>([](auto& b, auto done) { b.async_connect(std::move(done)); }));
    }

    static client::connection_settings settings_for(const std::string& server) {
        client::connection_settings settings;
        settings.server = server;
        settings.name = "test";
        settings.reconnect.enabled = false;  // a test says when a broker comes back
        return settings;
    }

    std::shared_ptr<boost::asio::io_context> io_;
    client::connection broker_;
};

}  // namespace millrace::process
