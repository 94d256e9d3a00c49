// A thousand of everything at once, on one broker: connections, topics, subscriptions; and what an idle connection costs.
#include <catch2/catch.hpp>
#include <memory>

#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"

namespace millrace::process {
namespace {

constexpr std::size_t count = 1000;

/// A customer with a connection, a topic and a subscription of its own, on the loop of all.
struct tenant {
    client::connection broker;
    client::consumer consumer;
    std::string topic;
    std::string received;
};

client::connection_settings settings_for(const broker_process& broker) {
    client::connection_settings settings;
    settings.server = broker.address();
    settings.name = "tenant";
    return settings;
}

class tenants {
public:
    /// A handler that counts, and keeps what failed.
    template <class T>
    auto counting() {
        return [this](boost::system::error_code failed, const T& what) { note(failed, what.refusal); };
    }

    explicit tenants(const broker_process& broker) {
        for (std::size_t i = 0; i < count; ++i) {
            auto t = std::make_unique<tenant>(tenant{client::connection(io_.get_executor(), settings_for(broker)), {}, "topic-" + std::to_string(i), {}});
            t->broker.async_connect(counting<client::broker_description>());
            all_.push_back(std::move(t));
        }
        wait();
    }

    template <class Start>
    void each(Start start) {
        for (auto& t : all_) start(*t);
        wait();
    }

    void note(boost::system::error_code failed, const std::string& refusal) {
        if (failed) failures_.push_back(failed.message() + ": " + refusal);
        ++done_;
    }

    const std::vector<std::unique_ptr<tenant>>& all() const { return all_; }

private:
    void wait() {
        const auto give_up = std::chrono::steady_clock::now() + patience;
        while (done_ < count && std::chrono::steady_clock::now() < give_up) {
            io_.restart();
            io_.run_one_for(100ms);
        }
        REQUIRE(done_ == count);
        CHECK(failures_ == std::vector<std::string>{});
        done_ = 0;
    }

    boost::asio::io_context io_{1};
    std::vector<std::unique_ptr<tenant>> all_;
    std::vector<std::string> failures_;
    std::size_t done_ = 0;
};

}  // namespace

TEST_CASE("a thousand connections with a thousand subscriptions on a thousand topics") {
    scratch_directory scratch;
    broker_process broker({"--store", scratch.store()});
    const auto before = broker.resident_bytes();
    tenants everybody(broker);
    const auto idle = (broker.resident_bytes() - before) / count;
    WARN("an idle connection costs the broker " << idle << " bytes");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which want memory of their own
    CHECK(idle < 32u << 10);
#endif

    everybody.each([&](tenant& t) { t.broker.async_create_topic(t.topic, {}, everybody.counting<client::topic_description>()); });
    everybody.each([&](tenant& t) {
        t.broker.async_create_subscription(t.topic, "work", {}, {}, everybody.counting<client::subscription_description>());
    });
    everybody.each([&](tenant& t) {
        t.broker.async_subscribe(t.topic, "work", {}, [&](boost::system::error_code failed, client::consumer opened) {
            everybody.note(failed, opened.refusal());
            t.consumer = std::move(opened);
        });
    });
    for (int round = 0; round < 3; ++round) {
        everybody.each([&](tenant& t) {
            t.broker.async_publish(t.topic, {.payload = t.topic + ";"}, everybody.counting<client::receipt>());
        });
        everybody.each([&](tenant& t) {
            t.consumer.async_receive([&](boost::system::error_code failed, client::received batch) {
                for (const auto& d : batch.deliveries) {
                    t.received += d.message.payload;
                    t.consumer.ack(d);
                }
                everybody.note(failed, batch.refusal);
            });
        });
        everybody.each([&](tenant& t) { t.consumer.async_settle(everybody.counting<client::settlement>()); });
    }
    for (const auto& t : everybody.all()) CHECK(t->received == t->topic + ";" + t->topic + ";" + t->topic + ";");
    everybody.each([&](tenant& t) { t.broker.async_close(everybody.counting<client::done>()); });

    blocking_client after(broker.address());
    CHECK(after.describe("topic-0", "work").partitions.at(0).acked == 3);
    CHECK(after.describe("topic-999", "work").partitions.at(0).acked == 3);
    CHECK(broker.stop() == 0);
}

}  // namespace millrace::process
