// A handler that throws: its exception leaves io_context::run(), and nobody else notices.
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "millrace/client.hpp"
#include "tests/worker/in_process_broker.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;

using failure = boost::system::error_code;

/// Runs handlers, and keeps what they throw.
struct catching_runner {
    boost::asio::io_context io{1};
    std::vector<std::string> thrown;

    bool until(const std::function<bool()>& is_done) {
        const auto give_up = std::chrono::steady_clock::now() + 30s;
        while (!is_done() && std::chrono::steady_clock::now() < give_up) {
            try {
                io.run_one_for(100ms);
            } catch (const std::runtime_error& e) {
                thrown.push_back(e.what());
            }
        }
        return is_done();
    }
};

TEST_CASE("what handlers throw leaves run(), and neither those behind them nor the connection notice") {
    in_process_broker broker;
    catching_runner runner;
    client::connection connection(runner.io.get_executor(), {.server = broker.address()});
    connection.async_connect([](failure, const client::broker_description&) { throw std::runtime_error("connected"); });
    REQUIRE(runner.until([&] { return runner.thrown == std::vector<std::string>{"connected"}; }));

    auto is_there = false;
    connection.async_create_topic("t", {}, [](failure, const client::topic_description&) { throw std::runtime_error("topic"); });
    connection.async_create_subscription("t", "s", {}, {}, [&](failure failed, const client::subscription_description&) { is_there = !failed; });
    REQUIRE(runner.until([&] { return is_there && runner.thrown.size() == 2; }));

    std::vector<std::uint64_t> published;
    for (int i = 0; i < 5; ++i)  // answered together
        connection.async_publish("t", {.payload = "m"}, [&](failure failed, const client::receipt& r) {
            if (!failed) published.push_back(r.sequence.value);
            throw std::runtime_error("published");
        });
    REQUIRE(runner.until([&] { return runner.thrown.size() == 7; }));
    CHECK(published == std::vector<std::uint64_t>{0, 1, 2, 3, 4});

    client::consumer consumer;
    std::size_t received = 0;
    const auto receive = [&] {
        consumer.async_receive([&](failure, const client::received& r) {
            received += r.deliveries.size();
            throw std::runtime_error("received");
        });
    };
    connection.async_subscribe("t", "s", {}, [&](failure, client::consumer c) {
        consumer = std::move(c);
        receive();
        throw std::runtime_error("subscribed");
    });
    REQUIRE(runner.until([&] { return received == 5 && runner.thrown.size() == 9; }));
    receive();
    connection.async_publish("t", {.payload = "m"}, [](failure, const client::receipt&) {});
    REQUIRE(runner.until([&] { return received == 6 && runner.thrown.size() == 10; }));

    connection.async_close([](failure, const client::done&) { throw std::runtime_error("closed"); });
    REQUIRE(runner.until([&] { return runner.io.stopped(); }));
    CHECK(runner.thrown.size() == 11);
    CHECK(runner.thrown.back() == "closed");
}

}  // namespace
}  // namespace millrace
