// A whole broker on a thread of the test, on a store that outlives it: it can be killed and started again.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <boost/asio/io_context.hpp>

#include "broker/server/broker.hpp"
#include "broker/storage/memory_store.hpp"
#include "tests/shards.hpp"

namespace millrace {

class in_process_broker {
public:
    in_process_broker() { start(); }
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
        auto opened = driver::open_shards(*store_, shards_by_environment(), settings.core);
        if (!opened) throw std::runtime_error(to_string(opened.failure()));
        io_ = std::make_unique<boost::asio::io_context>(1);
        broker_ = std::make_unique<server::broker>(*io_, std::move(opened.value()), *store_, settings, [] {
            return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
        });
        const auto bound = broker_->listen({boost::asio::ip::address_v4::loopback(), port_});
        if (!bound) throw std::runtime_error(to_string(bound.failure()));
        port_ = bound.value().port();
        thread_ = std::thread([this] { io_->run(); });
    }

    /// Without a word to anybody.
    void kill() {
        io_->stop();
        thread_.join();
        broker_.reset();
        io_.reset();
    }

private:
    std::unique_ptr<storage::store> store_ = storage::make_memory_store();
    std::unique_ptr<boost::asio::io_context> io_;
    std::unique_ptr<server::broker> broker_;
    std::thread thread_;
    std::uint16_t port_ = 0;
    std::uint64_t last_key_ = 0;  // over all lives: a key is nobody else's
};

}  // namespace millrace
