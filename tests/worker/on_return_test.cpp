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

}  // namespace
}  // namespace millrace
