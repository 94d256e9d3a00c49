// One connection that consumes and publishes while the disk crawls.
#include <stdlib.h>

#include <boost/asio/steady_timer.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <set>

#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"
#include "tests/process/faults.hpp"

namespace millrace::process {
namespace {

constexpr std::size_t jobs = 24;
constexpr auto visibility = 2'000ms;

/// A worker on one connection: it holds each job for a time longer than a lease, renewing it, publishes its result, and acks it when that is answered.
class slow_worker {
public:
    explicit slow_worker(blocking_client& through) : through_(through), from_(through.subscribe("jobs", "workers", {.credit_messages = 8})) { receive(); }

    void work() {
        through_.run_until([&] { return results == jobs; });
        through_.settle(from_);
    }

    std::multiset<std::string> received;
    std::size_t results = 0;
    std::size_t lost = 0;
    std::size_t again = 0;

private:
    struct job {
        client::delivery what;
        boost::asio::steady_timer renewal;
        int renewals = 0;
    };

    void receive() {
        from_.async_receive([this](boost::system::error_code failed, client::received r) {
            if (failed) return;
            for (auto& d : r.deliveries) begin(std::move(d));
            receive();
        });
    }

    void begin(client::delivery d) {
        received.insert(d.message.payload);
        if (d.attempt > 1) ++again;
        if (!from_.start(d)) ++lost;
        renew(std::make_shared<job>(job{std::move(d), boost::asio::steady_timer(through_.broker().get_executor())}));
    }

    /// Every third of a lease, until it has been held for one and a half.
    void renew(std::shared_ptr<job> j) {
        j->renewal.expires_after(visibility / 3);
        j->renewal.async_wait([this, j](boost::system::error_code) {
            if (++j->renewals > 4) return publish(j);
            from_.async_extend(j->what, [this](boost::system::error_code failed, client::settlement s) { lost += failed || !s.lost.empty() ? 1 : 0; });
            renew(j);
        });
    }

    void publish(std::shared_ptr<job> j) {
        through_.broker().async_publish("results", {.payload = j->what.message.payload + std::string(50'000, '.')},
                                        [this, j](boost::system::error_code failed, client::receipt) {
                                            if (failed) return;
                                            from_.ack(j->what);
                                            ++results;
                                        });
    }

    blocking_client& through_;
    client::consumer from_;
};

}  // namespace

TEST_CASE("a connection that consumes and publishes on a disk that crawls: no lease expires, nothing stands still, all is done in the end") {
    scratch_directory scratch;
    faults faults;
    broker_process broker({"--store", scratch.store()}, MILLRACED_FAULTY_PATH);
    blocking_client client(broker.address());
    for (const auto* name : {"jobs", "results"}) client.create_topic(name);
    client.create_subscription("jobs", "workers", {.visibility_timeout = visibility});
    client.create_subscription("results", "everybody");
    std::set<std::string> published;
    for (std::size_t i = 0; i < jobs; ++i) {
        published.insert("job " + std::to_string(i));
        REQUIRE(!client.publish("jobs", "job " + std::to_string(i)).code);
    }

    faults.begin("slow", 400);
    slow_worker worker(client);
    worker.work();
    faults.end("slow");

    CHECK(std::set<std::string>(worker.received.begin(), worker.received.end()) == published);
    CHECK(worker.received.size() == jobs);
    CHECK(worker.again == 0);
    CHECK(worker.lost == 0);
    CHECK(client.describe("jobs", "workers").partitions.at(0).acked == jobs);
    CHECK(client.describe("results", "everybody").partitions.at(0).published == jobs);
    CHECK(broker.stop() == 0);
}

}  // namespace millrace::process
