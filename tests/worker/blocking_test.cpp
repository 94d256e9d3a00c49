// The client that waits, against a whole broker.
#include <catch2/catch.hpp>

#include <map>
#include <set>

#include "millrace/blocking_client.hpp"
#include "tests/worker/in_process_broker.hpp"
#include "tests/worker/running_worker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

errc code_of(const std::system_error& e) { return static_cast<errc>(e.code().value()); }

}  // namespace

TEST_CASE("what a broker refuses is thrown with its code and its words") {
    in_process_broker broker;
    blocking_client client(quick(broker.address()));
    try {
        client.describe_topic("photos");
        FAIL("it was not refused");
    } catch (const std::system_error& refused) {
        CHECK(refused.code() == errc::no_such_topic);
        CHECK(std::string(refused.what()).find("photos") != std::string::npos);
    }
    CHECK_THROWS_AS(client.publish("photos", {}), std::system_error);
    CHECK_THROWS_AS(client.subscribe("photos", "resize"), std::system_error);
}

TEST_CASE("payloads are compressed when it is asked for, and come as they were") {
    in_process_broker broker;
    auto settings = quick(broker.address());
    settings.compression = payload_compression::lz4;
    blocking_client client(settings);
    client.create_topic("photos");
    client.create_subscription("photos", "resize");
    const std::string payload(100'000, 'x');
    client.publish("photos", {.payload = payload});
    CHECK(client.describe_topic("photos").partitions.at(0).bytes < 10'000);
    auto consumer = client.subscribe("photos", "resize");
    CHECK(consumer.receive().at(0).message.payload == payload);
}

TEST_CASE("a consumer that was refused keeps the broker's words where it is moved to") {
    in_process_broker broker;
    boost::asio::io_context io{1};
    connection c(io.get_executor(), quick(broker.address()));
    consumer kept;
    boost::system::error_code refused;
    c.async_connect([&](boost::system::error_code, const broker_description&) {
        c.async_subscribe("photos", "resize", {}, [&](boost::system::error_code failed, consumer opened) {
            refused = failed;
            kept = std::move(opened);
            c.async_close([](boost::system::error_code, done) {});
        });
    });
    io.run_for(30s);
    CHECK(refused == errc::no_such_topic);
    CHECK(kept.refusal().find("photos") != std::string::npos);
}

TEST_CASE("nobody there is thrown by the constructor") {
    try {
        blocking_client client({.server = "127.0.0.1:1"});
        FAIL("there is nobody");
    } catch (const std::system_error& refused) {
        CHECK(code_of(refused) == errc::connection_lost);
    }
}

TEST_CASE("publish, receive, hand in, settle") {
    in_process_broker broker;
    blocking_client client(quick(broker.address()));
    client.create_topic("photos");
    client.create_subscription("photos", "resize", {.backoff_min = 0ms, .backoff_max = 0ms});
    CHECK(client.update_subscription("photos", "resize", {.max_deliveries = 7}).settings.max_deliveries == 7u);
    CHECK(client.list_topics() == std::vector<std::string>{"photos"});
    CHECK(client.list_subscriptions("photos") == std::vector<std::string>{"resize"});
    auto consumer = client.subscribe("photos", "resize");
    CHECK(consumer.receive(50ms).empty());
    const auto receipts = client.publish_all("photos", {{.payload = "a"}, {.payload = "b"}, {.payload = "c"}});
    CHECK(receipts.size() == 3);
    CHECK(receipts[2].sequence.value == 2);
    std::vector<delivery> got;
    while (got.size() < 3)
        for (auto& d : consumer.receive()) got.push_back(std::move(d));
    consumer.start(got[0]);
    CHECK(consumer.extend(got[0]));
    CHECK_FALSE(consumer.extend(got[1]));
    consumer.ack(got[0]);
    consumer.nack(got[1], "once more");
    consumer.release(got[2]);
    CHECK(consumer.settle().lost.empty());
    std::map<std::string, std::uint32_t> again;
    while (again.size() < 2)
        for (const auto& d : consumer.receive(5s)) again[d.message.payload] = d.attempt;
    CHECK(again == std::map<std::string, std::uint32_t>{{"b", 2}, {"c", 2}});
    consumer.close();
    CHECK_THROWS_AS(consumer.receive(1s), std::system_error);
}

TEST_CASE("publishes survive a broker that is killed and started again: each is there at least once") {
    in_process_broker broker;
    blocking_client client(quick(broker.address()));
    client.create_topic("photos");
    client.create_subscription("photos", "resize");
    constexpr int rounds = 200;
    std::thread killer([&] {
        for (int i = 0; i < 3; ++i) {
            std::this_thread::sleep_for(30ms);
            broker.kill();
            std::this_thread::sleep_for(30ms);
            broker.start();
        }
    });
    std::set<std::string> sent;
    for (int i = 0; i < rounds; ++i) {
        const auto payload = std::to_string(i);
        client.publish("photos", {.payload = payload});
        sent.insert(payload);
        std::this_thread::sleep_for(1ms);
    }
    killer.join();
    client.publish("photos", {.payload = "last"});  // the connection is back
    sent.insert("last");
    std::set<std::string> found;
    auto consumer = client.subscribe("photos", "resize");
    while (found.size() < sent.size()) {
        const auto some = consumer.receive(5s);
        REQUIRE_FALSE(some.empty());
        for (const auto& d : some) found.insert(d.message.payload);
    }
    CHECK(found == sent);
}
