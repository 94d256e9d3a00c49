// A whole broker on a thread of the test, on a store that outlives it: it can be killed and started again.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "broker/server/broker.hpp"
#include "broker/storage/memory_store.hpp"
#include "tests/shards.hpp"

namespace millrace {

struct in_process_settings {
    std::unique_ptr<storage::store> store = storage::make_memory_store();
    std::uint32_t shards = shards_by_environment();
    std::chrono::microseconds stay_awake{0};
    server::broker::clock now = [] { return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()); };
};

class in_process_broker {
public:
    in_process_broker() : in_process_broker(in_process_settings{}) {}
    explicit in_process_broker(in_process_settings made_of) : made_of_(std::move(made_of)) { start(); }
    ~in_process_broker() {
        if (broker_) kill();
    }

    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

    std::uint16_t port() const { return port_; }

    /// On the same port as before.
    void start() {
        server::broker_settings settings;
        settings.session.broker_name = "in process";
        settings.new_key = [this] { return ++last_key_; };
        settings.stay_awake = made_of_.stay_awake;
        auto opened = driver::open_shards(*made_of_.store, made_of_.shards, settings.core);
        if (!opened) throw std::runtime_error(to_string(opened.failure()));
        io_ = std::make_unique<boost::asio::io_context>(1);
        broker_ = std::make_unique<server::broker>(*io_, std::move(opened.value()), *made_of_.store, settings, made_of_.now);
        const auto bound = broker_->listen({boost::asio::ip::address_v4::loopback(), port_});
        if (!bound) throw std::runtime_error(to_string(bound.failure()));
        port_ = bound.value().port();
        thread_ = std::thread([this] { broker_->run(); });
    }

    /// Without a word to anybody.
    void kill() {
        io_->stop();
        thread_.join();
        broker_.reset();
        io_.reset();
    }

private:
    const in_process_settings made_of_;
    std::unique_ptr<boost::asio::io_context> io_;
    std::unique_ptr<server::broker> broker_;
    std::thread thread_;
    std::uint16_t port_ = 0;
    std::uint64_t last_key_ = 0;  // over all lives: a key is nobody else's
};

}  // namespace millrace
