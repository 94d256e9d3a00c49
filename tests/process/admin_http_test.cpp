// Admin HTTP of a real millraced, asked as curl would.
#include <signal.h>

#include <catch2/catch.hpp>
#include <deque>

#include "tests/admin/exposition.hpp"
#include "tests/admin/http_client.hpp"
#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"

namespace millrace::process {
namespace {

using Catch::Matchers::StartsWith;

series_values scrape(http_client& peer) {
    const auto answer = peer.get("/metrics");
    CHECK(answer.status == 200);
    return parse_exposition(answer.body);
}

std::string get(const broker_process& broker, const std::string& target) {
    const auto answer = http_client(broker.admin_address()).get(target);
    CHECK(answer.status == 200);
    return answer.body;
}

}  // namespace

TEST_CASE("millraced answers HTTP where its ready line says", "[shards]") {
    scratch_directory scratch;
    broker_process broker({"--store", scratch.store()});
    http_client peer(broker.admin_address());
    CHECK(peer.get("/healthz").status == 200);
    CHECK(peer.get("/readyz").status == 200);
    const auto before = scrape(peer);
    CHECK(value_of(before, "millrace_sessions") == 0);
    CHECK(value_of(before, "millrace_fencing_epoch") == 1);
    CHECK(value_of(before, "millrace_durability_info{level=\"disk\"}") == 1);
    blocking_client client(broker.address());
    CHECK(value_of(scrape(peer), "millrace_sessions") == 1);
}

TEST_CASE("admin HTTP and the command line describe things in the same words", "[shards]") {
    broker_process broker({"--store", "memory:"});
    const auto run = [&](std::vector<std::string> arguments) {
        const auto ended = millrace(broker, std::move(arguments));
        CHECK(ended.err.empty());
        return ended.out;
    };
    run({"topic", "create", "dead"});
    run({"topic", "create", "photos", "--partitions", "3", "--keep", "24h", "--max-age", "48h", "--max-backlog", "1GiB"});
    run({"subscription", "create", "photos", "thumbs", "--dead-letter", "dead", "--max-deliveries", "7", "--backoff", "2s..9s", "--visibility-timeout", "45s"});
    run({"subscription", "create", "photos", "index"});
    millrace(broker, {"publish", "photos", "--lines", "-"}, "one\ntwo\nthree\n");
    run({"consume", "photos", "thumbs", "--max", "2"});
    CHECK(get(broker, "/v1/topics/photos") == run({"--json", "topic", "describe", "photos"}));
    CHECK(get(broker, "/v1/topics/dead") == run({"--json", "topic", "describe", "dead"}));
    CHECK(get(broker, "/v1/topics/photos/subscriptions/thumbs") == run({"--json", "subscription", "describe", "photos", "thumbs"}));
    CHECK(get(broker, "/v1/topics/photos/subscriptions/index") == run({"--json", "subscription", "describe", "photos", "index"}));
}

TEST_CASE("a broker that is scraped while it takes messages counts every one", "[shards]") {
    scratch_directory scratch;
    broker_process broker({"--store", scratch.store()});
    blocking_client client(broker.address());
    client.create_topic("photos");
    client.create_subscription("photos", "thumbs");
    http_client peer(broker.admin_address());
    constexpr std::size_t count = 20'000;
    std::size_t answered = 0;
    for (std::size_t i = 0; i < count; ++i)
        client.broker().async_publish("photos", {.payload = std::string(500, 'x')}, [&](boost::system::error_code failed, client::receipt) { answered += !failed; });
    double last = 0;
    while (answered < count) {
        const auto before = answered;
        client.run_until([&] { return answered > before; });
        const auto seen_before = static_cast<double>(answered);
        const auto published = value_of(scrape(peer), "millrace_published_messages_total");
        CHECK(published >= seen_before);  // what was answered is counted
        CHECK(published >= last);
        last = published;
    }
    const auto all = scrape(peer);
    CHECK(value_of(all, "millrace_published_messages_total") == count);
    CHECK(value_of(all, "millrace_topic_high_watermark{topic=\"photos\"}") == count);
    CHECK(value_of(all, "millrace_subscription_ready_messages{topic=\"photos\",subscription=\"thumbs\"}") == count);
    CHECK(value_of(all, "millrace_commits_total") > 0);
}

TEST_CASE("counts of settled messages survive a restart", "[shards]") {
    scratch_directory scratch;
    for (int life = 1; life <= 2; ++life) {
        broker_process broker({"--store", scratch.store()});
        http_client peer(broker.admin_address());
        if (life == 1) {
            CHECK(millrace(broker, {"topic", "create", "photos"}).code == 0);
            CHECK(millrace(broker, {"subscription", "create", "photos", "thumbs"}).code == 0);
            CHECK(millrace(broker, {"publish", "photos", "--lines", "-"}, "one\ntwo\nthree\n").code == 0);
            CHECK(millrace(broker, {"consume", "photos", "thumbs", "--max", "2"}).code == 0);
        }
        const auto all = scrape(peer);
        CHECK(value_of(all, "millrace_subscription_acked_messages_total{topic=\"photos\",subscription=\"thumbs\"}") == 2);
        CHECK(value_of(all, "millrace_topic_high_watermark{topic=\"photos\"}") == 3);
        CHECK(value_of(all, "millrace_fencing_epoch") == life);
        CHECK(broker.stop() == 0);
    }
}

TEST_CASE("SIGTERM makes a broker unready before it ends", "[shards]") {
    broker_process broker({"--store", "memory:"});
    http_client peer(broker.admin_address());
    {
        blocking_client client(broker.address());
        client.create_topic("photos");
        client.create_subscription("photos", "thumbs");
        for (int i = 0; i < 40; ++i) CHECK_FALSE(client.publish("photos", std::string(1 << 20, 'x')).code);
        blocking_client deaf(broker.address());  // it subscribes, and then reads nothing: its goodbye cannot be said
        auto consumer = deaf.subscribe("photos", "thumbs", {.credit_messages = 40, .credit_bytes = 1u << 30});
        while (value_of(scrape(peer), "millrace_delivered_bytes_total") < (24 << 20)) {}
        broker.process().send(SIGTERM);
        auto answer = peer.get("/readyz");
        while (answer.status == 200) answer = peer.get("/readyz");
        CHECK(answer.status == 503);
        CHECK_THAT(answer.body, StartsWith("{\"error\":\"shutting_down\""));
        CHECK(peer.get("/healthz").status == 200);
    }
    CHECK(broker.process().wait() == 0);
}

TEST_CASE("a hundred peers that never finish a request keep nobody out", "[shards]") {
    broker_process broker({"--store", "memory:"});
    std::deque<http_client> peers;
    for (int i = 0; i < 100; ++i) {
        peers.emplace_back(broker.admin_address());
        if (i % 2 == 0) peers.back().send("GET /metr");
    }
    blocking_client client(broker.address());
    client.create_topic("photos");
    CHECK_FALSE(client.publish("photos", "x").code);
    CHECK(get(broker, "/healthz") == "{\"status\":\"alive\"}\n");
    CHECK(get(broker, "/readyz") == "{\"status\":\"ready\"}\n");
    CHECK(broker.stop() == 0);
}

}  // namespace millrace::process
