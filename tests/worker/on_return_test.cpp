// Who holds a connection hears when it was lost and is back.
#include <catch2/catch.hpp>

#include "millrace/client.hpp"
#include "tests/worker/cutting_proxy.hpp"
#include "tests/worker/in_process_broker.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a connection that was lost tells when it is back, and in which session") {
    in_process_broker broker;
    cutting_proxy proxy(broker.port());
    boost::asio::io_context io{1};
    client::connection connection(io.get_executor(), {.server = proxy.address(), .reconnect = {.pause_min = 1ms, .pause_max = 10ms}});
    std::vector<std::uint64_t> sessions;
    connection.on_return([&](const client::broker_description& now) { sessions.push_back(now.session); });
    connection.async_connect([&](boost::system::error_code failed, const client::broker_description& now) {
        CHECK_FALSE(failed);
        CHECK(sessions.empty());  // it has come, not come back
        sessions.push_back(now.session);
    });
    const auto run_until = [&](std::size_t count) {
        const auto give_up = std::chrono::steady_clock::now() + 30s;
        while (sessions.size() < count && std::chrono::steady_clock::now() < give_up) io.run_one_for(100ms);
        return sessions.size() == count;
    };
    REQUIRE(run_until(1));
    for (std::size_t times = 2; times < 4; ++times) {
        proxy.cut();
        REQUIRE(run_until(times));
        CHECK(sessions[times - 1] != sessions[times - 2]);
    }
}

TEST_CASE("a connection that is closed while it waits to try again does not wait on") {
    in_process_broker broker;
    cutting_proxy proxy(broker.port());
    boost::asio::io_context io{1};
    client::connection connection(io.get_executor(), {.server = proxy.address(), .reconnect = {.pause_min = 10min, .pause_max = 10min}});
    auto asked = false;
    connection.async_connect([&](boost::system::error_code failed, const client::broker_description&) {
        REQUIRE_FALSE(failed);
        connection.async_list_topics({}, [&](boost::system::error_code, const client::name_list&) { asked = true; });
    });
    while (!asked) io.run_one_for(100ms);
    // Ends with the connection, so that it is known to be lost.
    asked = false;
    broker.kill();
    connection.async_list_topics({}, [&](boost::system::error_code failed, const client::name_list&) { asked = static_cast<bool>(failed); });
    while (!asked) io.run_one_for(100ms);
    auto closed = false;
    connection.async_close([&](boost::system::error_code, const client::done&) { closed = true; });
    io.run_for(30s);
    CHECK(closed);
    CHECK(io.stopped());
}

TEST_CASE("a receive that waits ends when its consumer is stopped") {
    in_process_broker broker;
    boost::asio::io_context io{1};
    client::connection connection(io.get_executor(), {.server = broker.address()});
    client::consumer consumer;
    boost::system::error_code ended;
    connection.async_connect([&](boost::system::error_code, const client::broker_description&) {
        connection.async_create_topic("t", {}, [&](boost::system::error_code, const client::topic_description&) {
            connection.async_create_subscription("t", "s", {}, {}, [&](boost::system::error_code, const client::subscription_description&) {
                connection.async_subscribe("t", "s", {}, [&](boost::system::error_code failed, client::consumer opened) {
                    REQUIRE_FALSE(failed);
                    consumer = std::move(opened);
                    consumer.async_receive([&](boost::system::error_code why, const client::received&) { ended = why; });
                    consumer.stop();
                });
            });
        });
    });
    const auto give_up = std::chrono::steady_clock::now() + 30s;
    while (!ended && std::chrono::steady_clock::now() < give_up) io.run_one_for(100ms);
    CHECK(ended == errc::canceled);
}

}  // namespace
}  // namespace millrace
