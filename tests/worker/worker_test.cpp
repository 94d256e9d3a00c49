// Workers against a whole broker.
#include <catch2/catch.hpp>

#include <future>
#include <map>

#include "millrace/blocking_client.hpp"
#include "tests/worker/cutting_proxy.hpp"
#include "tests/worker/in_process_broker.hpp"
#include "tests/worker/running_worker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

struct bench {
    explicit bench(subscription_settings settings) {
        client.create_topic("photos");
        client.create_topic("dead");
        client.create_subscription("dead", "look");
        client.create_subscription("photos", "resize", settings);
    }

    void publish(std::vector<std::string> payloads) {
        std::vector<message> all;
        for (auto& p : payloads) all.push_back({.payload = std::move(p)});
        client.publish_all("photos", std::move(all));
    }

    subscription_progress progress() { return client.describe_subscription("photos", "resize").partitions.at(0); }

    /// Although the broker was away.
    bool acked_becomes(std::uint64_t count) {
        return eventually([&] {
            try {
                return progress().acked == count;
            } catch (const std::system_error&) {
                return false;  // not back yet
            }
        });
    }

    in_process_broker broker;
    blocking_client client{quick(broker.address())};
};

}  // namespace

TEST_CASE("each outcome does what it says, what fails for good arrives among the dead with its origin and reason") {
    bench b({.visibility_timeout = 5s, .max_deliveries = 2, .backoff_min = 30ms, .backoff_max = 30ms, .dead_letter = "dead"});
    sightings seen;
    running_worker worker(b.broker.address(), {.concurrency = 2}, [&](const delivery& d) {
        seen.note(d);
        const auto& what = d.message.payload;
        if (what == "nack") return outcome::nack("no luck");
        if (what == "reject") return outcome::reject("hopeless");
        if (what == "throw") throw std::runtime_error("boom");
        return outcome::ack();
    });
    b.publish({"ack", "nack", "reject", "throw"});
    CHECK(seen.wait_for(6));
    std::map<std::string, std::shared_ptr<const dead_letter_origin>> dead;
    auto letters = b.client.subscribe("dead", "look");
    while (dead.size() < 3) {
        const auto some = letters.receive(10s);
        REQUIRE_FALSE(some.empty());
        for (const auto& d : some) {
            REQUIRE(d.origin);
            dead[d.message.payload] = d.origin;
        }
    }
    CHECK(*dead.at("nack") == dead_letter_origin{"photos", "resize", 0, {1}, 2, "no luck"});
    CHECK(*dead.at("reject") == dead_letter_origin{"photos", "resize", 0, {2}, 1, "hopeless"});
    CHECK(*dead.at("throw") == dead_letter_origin{"photos", "resize", 0, {3}, 2, "boom"});
    worker.drain();
    const auto [failed, report] = worker.wait();
    CHECK_FALSE(failed);
    CHECK(report.acked == 1);
    CHECK(report.nacked == 4);
    CHECK(report.rejected == 1);
    CHECK(report.lost == 0);
    CHECK(seen.all().size() == 6);
    const auto p = b.progress();
    CHECK(p.acked == 1);
    CHECK(p.dead == 3);
}

TEST_CASE("a failed message comes again after its backoff, not before") {
    bench b({.max_deliveries = 3, .backoff_min = 300ms, .backoff_max = 1s});
    sightings seen;
    running_worker worker(b.broker.address(), {}, [&](const delivery& d) {
        seen.note(d);
        return outcome::nack("again");
    });
    b.publish({"x"});
    REQUIRE(seen.wait_for(3));
    const auto all = seen.all();
    CHECK(all[1].attempt == 2);
    CHECK(all[1].at - all[0].at >= 300ms);
    CHECK(all[1].at - all[0].at < 600ms);
    CHECK(all[2].at - all[1].at >= 600ms);
    CHECK(eventually([&] { return b.progress().parked == 1; }));
}

TEST_CASE("a long job keeps its lease") {
    bench b({.visibility_timeout = 300ms});
    sightings seen;
    const auto work = [&](const delivery& d) {
        seen.note(d);
        std::this_thread::sleep_for(1500ms);
        return outcome::ack();
    };
    running_worker worker(b.broker.address(), {}, work), other(b.broker.address(), {}, work);
    b.publish({"long"});
    CHECK(eventually([&] { return b.progress().acked == 1; }));
    CHECK(seen.all().size() == 1);
}

TEST_CASE("a job that hangs is not renewed for ever: somebody else gets the message") {
    bench b({.visibility_timeout = 200ms});
    sightings seen;
    running_worker worker(b.broker.address(), {.concurrency = 2, .handler_timeout = 300ms}, [&](const delivery& d) {
        seen.note(d);
        if (d.attempt == 1) std::this_thread::sleep_for(2s);
        return outcome::ack();
    });
    b.publish({"hangs"});
    REQUIRE(seen.wait_for(2, 1900ms));
    const auto all = seen.all();
    CHECK(all[1].attempt == 2);
    CHECK(all[1].at - all[0].at >= 400ms);
    CHECK(eventually([&] { return b.progress().acked == 1; }));
}

TEST_CASE("draining finishes what has begun and gives back the rest, uncounted") {
    bench b({.max_deliveries = 1});
    sightings seen;
    b.publish(std::vector<std::string>(20, "x"));
    running_worker worker(b.broker.address(), {.concurrency = 2}, [&](const delivery& d) {
        seen.note(d);
        std::this_thread::sleep_for(300ms);
        return outcome::ack();
    });
    REQUIRE(seen.wait_for(2));
    worker.drain();
    const auto [failed, report] = worker.wait();
    CHECK_FALSE(failed);
    CHECK(report.acked == 2);
    CHECK(seen.all().size() == 2);
    const auto p = b.progress();
    CHECK(p.acked == 2);
    CHECK(p.ready == 18);
    CHECK(p.leased == 0);
    auto rest = b.client.subscribe("photos", "resize");
    std::size_t count = 0;
    while (count < 18) {
        const auto some = rest.receive(5s);
        REQUIRE_FALSE(some.empty());
        count += some.size();
    }
}

TEST_CASE("a broker that is killed and started again finds the jobs still running: none is done twice") {
    bench b({.visibility_timeout = 10s});
    sightings seen;
    running_worker worker(b.broker.address(), {.concurrency = 2}, [&](const delivery& d) {
        seen.note(d);
        std::this_thread::sleep_for(d.message.payload == "short" ? 400ms : 1500ms);
        return outcome::ack();
    });
    b.publish({"short", "long"});
    REQUIRE(seen.wait_for(2));
    std::this_thread::sleep_for(100ms);
    b.broker.kill();
    std::this_thread::sleep_for(500ms);  // the short one ends while there is no broker
    b.broker.start();
    CHECK(b.acked_becomes(2));
    std::this_thread::sleep_for(2500ms);  // the broker has stopped waiting for old holders by now
    CHECK(seen.all().size() == 2);
    b.publish({"short"});
    CHECK(seen.wait_for(3));
    worker.drain();
    const auto [failed, report] = worker.wait();
    CHECK_FALSE(failed);
    CHECK(report.acked == 3);
    CHECK(report.lost == 0);
}

TEST_CASE("a connection that is cut again and again costs no job its lease, and nothing is lost or done twice") {
    bench b({.visibility_timeout = 10s});
    cutting_proxy proxy(b.broker.port());
    sightings seen;
    running_worker worker(proxy.address(), {.concurrency = 4}, [&](const delivery& d) {
        seen.note(d);
        std::this_thread::sleep_for(std::chrono::milliseconds(20 + d.sequence.value * 37 % 150));
        return outcome::ack();
    });
    constexpr std::size_t count = 60;
    b.publish(std::vector<std::string>(count, "x"));
    for (int i = 0; i < 10; ++i) {
        std::this_thread::sleep_for(100ms);
        proxy.cut();
    }
    CHECK(eventually([&] { return b.progress().acked == count; }));
    CHECK(seen.all().size() == count);
}

TEST_CASE("a job whose message went to somebody else while the connection was away is reported as too late, and changes nothing") {
    bench b({.visibility_timeout = 200ms});
    cutting_proxy proxy(b.broker.port());
    sightings seen;
    std::promise<void> other_has_it;
    const auto may_end = other_has_it.get_future().share();
    running_worker away(proxy.address(), {}, [&](const delivery& d) {
        seen.note(d);
        may_end.wait();
        std::this_thread::sleep_for(300ms);
        return outcome::ack();
    });
    b.publish({"wanted"});
    REQUIRE(seen.wait_for(1));
    proxy.shut();
    running_worker other(b.broker.address(), {}, [&](const delivery& d) {
        seen.note(d);
        other_has_it.set_value();
        proxy.open();
        std::this_thread::sleep_for(1s);
        return outcome::ack();
    });
    REQUIRE(seen.wait_for(2));
    away.drain();
    const auto [failed, report] = away.wait();
    CHECK_FALSE(failed);
    CHECK(report.acked == 1);
    CHECK(report.lost == 1);
    other.drain();
    CHECK(other.wait().second.lost == 0);
    CHECK(b.progress().acked == 1);
    CHECK(seen.all().size() == 2);
}

TEST_CASE("a connection of which only one half is gone costs no job its lease either") {
    bench b({.visibility_timeout = 20s});
    cutting_proxy proxy(b.broker.port());
    sightings seen;
    running_worker worker(proxy.address(), {.concurrency = 4}, [&](const delivery& d) {
        seen.note(d);
        std::this_thread::sleep_for(std::chrono::milliseconds(20 + d.sequence.value * 37 % 150));
        return outcome::ack();
    });
    constexpr std::size_t count = 60;
    b.publish(std::vector<std::string>(count, "x"));
    for (std::size_t cuts = 1; cuts <= 10; ++cuts) {
        REQUIRE(seen.wait_for(std::min(4 * cuts, count)));
        proxy.cut_half();
    }
    CHECK(eventually([&] { return b.progress().acked == count; }));
    CHECK(seen.all().size() == count);
}

TEST_CASE("what was buffered when the broker was killed is worked on once it is back") {
    bench b({.visibility_timeout = 10s});
    sightings seen;
    running_worker worker(b.broker.address(), {.concurrency = 1, .credit_messages = 8}, [&](const delivery& d) {
        seen.note(d);
        std::this_thread::sleep_for(50ms);
        return outcome::ack();
    });
    b.publish({"0", "1", "2", "3", "4", "5", "6", "7"});
    REQUIRE(seen.wait_for(2));
    b.broker.kill();
    b.broker.start();
    CHECK(seen.wait_for(8));
    std::this_thread::sleep_for(300ms);
    std::map<std::string, int> times;
    for (const auto& s : seen.all()) ++times[s.payload];
    CHECK(times.size() == 8);
    for (const auto& [payload, count] : times) CHECK(count == 1);
}

TEST_CASE("a worker whose subscription is deleted ends with the reason, after its jobs") {
    bench b({});
    sightings seen;
    running_worker worker(b.broker.address(), {}, [&](const delivery& d) {
        seen.note(d);
        std::this_thread::sleep_for(200ms);
        return outcome::ack();
    });
    b.publish({"x"});
    REQUIRE(seen.wait_for(1));
    b.client.delete_subscription("photos", "resize", true);
    const auto [failed, report] = worker.wait();
    CHECK(failed == make_error_code(errc::no_such_subscription));
    CHECK_FALSE(report.refusal.empty());
    CHECK(report.acked == 1);
}

TEST_CASE("a worker that was drained and could not hand in its last outcome says so") {
    bench b({});
    cutting_proxy proxy(b.broker.port());
    auto settings = quick(proxy.address());
    settings.reconnect.enabled = false;
    sightings seen;
    std::promise<void> is_cut;
    running_worker worker(settings, {}, [&](const delivery& d) {
        seen.note(d);
        is_cut.get_future().wait();
        return outcome::ack();
    });
    b.publish({"x"});
    REQUIRE(seen.wait_for(1));
    worker.drain();
    proxy.shut();
    is_cut.set_value();
    const auto [failed, report] = worker.wait();
    CHECK(failed == make_error_code(errc::connection_lost));
    CHECK_FALSE(report.refusal.empty());
}

TEST_CASE("a worker that ends while the broker is away waits for it, but not for ever") {
    bench b({.visibility_timeout = 30s});
    sightings seen;
    std::promise<void> is_gone;
    running_worker worker(b.broker.address(), {.drain_timeout = 300ms}, [&](const delivery& d) {
        seen.note(d);
        is_gone.get_future().wait();
        return outcome::ack();
    });
    b.publish({"x"});
    REQUIRE(seen.wait_for(1));
    b.broker.kill();
    worker.drain();
    is_gone.set_value();
    const auto [failed, report] = worker.wait();
    CHECK(failed == make_error_code(errc::timed_out));
    CHECK(report.refusal.find("300 ms") != std::string::npos);
    CHECK(report.acked == 1);
    b.broker.start();  // the connection is still there, and hands in what it has
    CHECK(b.acked_becomes(1));
}

TEST_CASE("a worker on a subscription that is not there says so") {
    in_process_broker broker;
    running_worker worker(broker.address(), {}, [](const delivery&) { return outcome::ack(); });
    const auto [failed, report] = worker.wait();
    CHECK(failed == make_error_code(errc::no_such_topic));
    CHECK(report.refusal.find("photos") != std::string::npos);
}
