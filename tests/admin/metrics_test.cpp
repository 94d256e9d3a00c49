// The numbers of /metrics against what was done, and what many topics cost.
#include <catch2/catch.hpp>
#include <iostream>

#include "tests/admin/exposition.hpp"
#include "tests/admin/running_admin.hpp"
#include "tests/process/blocking_client.hpp"

namespace millrace {
namespace {

using Catch::Matchers::Contains;
using process::blocking_client;

series_values scrape(const running_admin& broker) {
    const auto answer = broker.get("/metrics");
    CHECK(answer.status == 200);
    CHECK(answer.headers.at("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    return parse_exposition(answer.body);
}

void publish(blocking_client& client, const std::string& topic, int count) {
    for (int i = 0; i < count; ++i) blocking_client::value(client.publish(topic, "x"));
}

}  // namespace

TEST_CASE("the checker of the text format refuses what is not the format") {
    const std::string head = "# HELP millrace_x Words.\n# TYPE millrace_x gauge\n";
    CHECK(value_of(parse_exposition(head + "millrace_x{a=\"1\\\"\\\\\\n\",b=\"2\"} 1.5e+06\n"), "millrace_x{a=\"1\\\"\\\\\\n\",b=\"2\"}") == 1.5e6);
    const std::string wrong[] = {
        "",
        head + "millrace_x 1",
        "millrace_x 1\n",
        "# TYPE millrace_x gauge\nmillrace_x 1\n",
        "# HELP millrace_x \n# TYPE millrace_x gauge\nmillrace_x 1\n",
        "# HELP other_x W.\n# TYPE other_x gauge\nother_x 1\n",
        "# HELP millrace_x W.\n# TYPE millrace_x counter\nmillrace_x 1\n",
        "# HELP millrace_x_total W.\n# TYPE millrace_x_total counter\nmillrace_x_total -1\n",
        head + "millrace_y 1\n",
        head + "millrace_x 1\nmillrace_x 1\n",
        head + "millrace_x one\n",
        head + "millrace_x  1\n",
        head + "millrace_x\n",
        head + "millrace_x{a=1} 1\n",
        head + "millrace_x{a=\"1\"\n",
        head + "millrace_x{1a=\"1\"} 1\n",
        head + "millrace_x{a=\"1\",a=\"2\"} 1\n",
        head + "millrace_x 1\n" + head,
        "# HELP millrace_h W.\n# TYPE millrace_h histogram\nmillrace_h_bucket{le=\"1\"} 1\nmillrace_h_count 1\nmillrace_h_sum 1\n",
        "# HELP millrace_h W.\n# TYPE millrace_h histogram\nmillrace_h_bucket{le=\"1\"} 2\nmillrace_h_bucket{le=\"+Inf\"} 1\nmillrace_h_count 1\nmillrace_h_sum 1\n",
        "# HELP millrace_h W.\n# TYPE millrace_h histogram\nmillrace_h_bucket{le=\"+Inf\"} 1\nmillrace_h_count 2\nmillrace_h_sum 1\n",
        "# HELP millrace_h W.\n# TYPE millrace_h histogram\nmillrace_h_bucket{le=\"+Inf\"} 1\nmillrace_h_count 1\n",
    };
    for (const auto& text : wrong) {
        CAPTURE(text);
        CHECK_THROWS_AS(parse_exposition(text), std::runtime_error);
    }
}

TEST_CASE("a broker that has done nothing says so") {
    running_admin broker;
    const auto all = scrape(broker);
    CHECK(value_of(all, "millrace_build_info{version=\"0.0.0-test\"}") == 1);
    CHECK(value_of(all, "millrace_durability_info{level=\"memory\"}") == 1);
    CHECK(value_of(all, "millrace_ready") == 1);
    CHECK(value_of(all, "millrace_fencing_epoch") == 1);
    CHECK(value_of(all, "millrace_process_resident_memory_bytes") > 1e6);
    CHECK(value_of(all, "millrace_process_cpu_seconds_total") > 0);
    for (const auto* zero : {"millrace_sessions", "millrace_topics", "millrace_subscriptions", "millrace_consumers", "millrace_published_messages_total",
                             "millrace_commits_total", "millrace_commit_duration_seconds_count", "millrace_metric_series_capped"}) {
        CAPTURE(zero);
        CHECK(value_of(all, zero) == 0);
    }
}

TEST_CASE("what was done is what is counted") {
    running_admin broker;
    blocking_client client(broker.server());
    client.create_topic("dead");
    client.create_topic("photos", {.partitions = 2});
    client.create_subscription("photos", "thumbs", {.max_deliveries = 1, .dead_letter = "dead"});
    client.create_subscription("photos", "index", {.max_deliveries = 1});
    publish(client, "photos", 10);
    CHECK(client.publish("films", "x").code);

    auto thumbs = client.subscribe("photos", "thumbs", {.credit_messages = 6});
    auto index = client.subscribe("photos", "index", {.credit_messages = 2});
    std::vector<client::delivery> held;
    while (held.size() < 6)
        for (auto& d : client.receive(thumbs)) held.push_back(d);
    for (int i = 0; i < 3; ++i) thumbs.ack(held[static_cast<std::size_t>(i)]);
    thumbs.reject(held[3], "no photo");
    thumbs.start(held[4]);
    CHECK(client.settle(thumbs).lost.empty());
    std::vector<client::delivery> indexed;
    while (indexed.size() < 2)
        for (auto& d : client.receive(index)) indexed.push_back(d);
    index.reject(indexed[0], "no photo");
    CHECK(client.settle(index).lost.empty());

    auto all = scrape(broker);
    while (value_of(all, "millrace_topic_high_watermark{topic=\"dead\"}") == 0) all = scrape(broker);
    const std::pair<const char*, double> expected[] = {
        {"millrace_sessions", 1},
        {"millrace_sessions_opened_total", 1},
        {"millrace_topics", 2},
        {"millrace_subscriptions", 2},
        {"millrace_consumers", 2},
        {"millrace_published_messages_total", 11},
        {"millrace_acked_messages_total", 3},
        {"millrace_topic_high_watermark{topic=\"photos\"}", 10},
        {"millrace_topic_messages{topic=\"photos\"}", 10},
        {"millrace_subscription_consumers{topic=\"photos\",subscription=\"thumbs\"}", 1},
        {"millrace_subscription_acked_messages_total{topic=\"photos\",subscription=\"thumbs\"}", 3},
        {"millrace_subscription_dead_messages_total{topic=\"photos\",subscription=\"thumbs\"}", 1},
        {"millrace_subscription_parked_messages{topic=\"photos\",subscription=\"thumbs\"}", 0},
        {"millrace_subscription_acked_messages_total{topic=\"photos\",subscription=\"index\"}", 0},
        {"millrace_subscription_parked_messages{topic=\"photos\",subscription=\"index\"}", 1},
        {"millrace_subscription_redelivered_messages_total{topic=\"photos\",subscription=\"thumbs\"}", 0},
        {"millrace_metric_series_capped", 0},
    };
    for (const auto& [series, value] : expected) {
        CAPTURE(series);
        CHECK(value_of(all, series) == value);
    }
    // Every message in one place, as for the broker itself.
    for (const std::string name : {"thumbs", "index"}) {
        double sum = 0;
        const auto of = "{topic=\"photos\",subscription=\"" + name + "\"}";
        for (const auto* state : {"ready_messages", "leased_messages", "delayed_messages", "parked_messages", "acked_messages_total", "dead_messages_total",
                                  "expired_messages_total", "skipped_messages_total"})
            sum += value_of(all, std::string("millrace_subscription_") + state + of);
        CHECK(sum == 10);
        CHECK(value_of(all, "millrace_subscription_messages_total" + of) == 10);
        CHECK(value_of(all, "millrace_subscription_unaccounted_messages" + of) == 0);
        CHECK(value_of(all, "millrace_subscription_oldest_unsettled_age_seconds" + of) > 0);
        CHECK((value_of(all, "millrace_subscription_oldest_lease_age_seconds" + of) > 0) == (name == "thumbs"));  // where a handler has begun
    }
    CHECK(value_of(all, "millrace_commit_messages_sum") == 11);
    CHECK(value_of(all, "millrace_commit_bytes_sum") == value_of(all, "millrace_published_bytes_total"));
    CHECK(value_of(all, "millrace_commits_total") == value_of(all, "millrace_commit_duration_seconds_count"));
    CHECK(value_of(all, "millrace_delivered_messages_total") ==
          value_of(all, "millrace_subscription_delivered_messages_total{topic=\"photos\",subscription=\"thumbs\"}") +
              value_of(all, "millrace_subscription_delivered_messages_total{topic=\"photos\",subscription=\"index\"}"));
}

TEST_CASE("refusals, failed commits and redeliveries are counted by name, across a store that was opened again") {
    running_admin broker;
    {
        blocking_client client(broker.server());
        client.create_topic("photos");
        client.create_subscription("photos", "thumbs", {.backoff_min = std::chrono::milliseconds{1}, .backoff_max = std::chrono::milliseconds{1}});
        CHECK(client.call<client::topic_description>([](auto& b, auto done) { b.async_create_topic("photos", {}, std::move(done)); }).is(errc::topic_exists));
        publish(client, "photos", 1);
        auto consumer = client.subscribe("photos", "thumbs");
        for (int i = 0; i < 2; ++i) {
            const auto held = client.receive(consumer);
            REQUIRE(held.size() == 1);
            consumer.nack(held[0], "not now");
            CHECK(client.settle(consumer).lost.empty());
        }
        const auto third = client.receive(consumer);
        CHECK(third.at(0).attempt == 3);
        const auto all = scrape(broker);
        CHECK(value_of(all, "millrace_refused_requests_total{error=\"topic_exists\"}") == 1);
        CHECK(value_of(all, "millrace_subscription_delivered_messages_total{topic=\"photos\",subscription=\"thumbs\"}") == 3);
        CHECK(value_of(all, "millrace_subscription_redelivered_messages_total{topic=\"photos\",subscription=\"thumbs\"}") == 2);
        broker.store().fail({errc::outcome_unknown, "the disk is gone"}, {});
        CHECK(client.publish("photos", "x").code);
        broker.store().fail({}, {});
    }
    while (broker.get("/readyz").status != 200) {}
    auto all = scrape(broker);
    CHECK(value_of(all, "millrace_commits_failed_total") == 1);
    CHECK(value_of(all, "millrace_store_reopened_total") == 1);
    CHECK(value_of(all, "millrace_fencing_epoch") == 2);
    CHECK(value_of(all, "millrace_published_messages_total") == 1);
    CHECK(value_of(all, "millrace_refused_requests_total{error=\"topic_exists\"}") == 1);
    while (value_of(all, "millrace_sessions") > 0) all = scrape(broker);
    CHECK(value_of(all, "millrace_sessions_closed_total{reason=\"outcome_unknown\"}") == 1);
}

TEST_CASE("while the store is being opened again there are numbers of the broker, and none of topics") {
    running_admin broker;
    blocking_client client(broker.server());
    client.create_topic("photos");
    broker.store().fail({errc::outcome_unknown, "the disk is gone"}, {errc::storage_failure, "no disk"});
    CHECK(client.publish("photos", "x").code);
    const auto all = scrape(broker);
    CHECK(value_of(all, "millrace_ready") == 0);
    CHECK_FALSE(all.contains("millrace_topic_messages{topic=\"photos\"}"));
}

}  // namespace millrace
