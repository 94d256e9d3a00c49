// The JSON of admin HTTP: what is there, what is not, and lists in parts.
#include <catch2/catch.hpp>

#include "tests/admin/running_admin.hpp"
#include "tests/process/blocking_client.hpp"

namespace millrace {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::Matches;
using Catch::Matchers::StartsWith;
using process::blocking_client;

constexpr auto moment = "\"[0-9-]{10}T[0-9:.]{15}Z\"";

/// The names in a list page, in order.
std::vector<std::string> names_in(const std::string& body) {
    std::vector<std::string> found;
    const std::string mark = "{\"name\":\"";
    for (auto at = body.find(mark); at != std::string::npos; at = body.find(mark, at + 1)) {
        const auto begin = at + mark.size();
        found.push_back(body.substr(begin, body.find('"', begin) - begin));
    }
    return found;
}

}  // namespace

TEST_CASE("the broker describes itself") {
    running_admin broker;
    const auto answer = broker.get("/v1/broker");
    CHECK(answer.status == 200);
    CHECK(answer.headers.at("content-type") == "application/json");
    CHECK(answer.headers.at("cache-control") == "no-store");
    CHECK_THAT(answer.body, Matches(std::string("\\{\"version\":\"0.0.0-test\",\"store\":\"gated:\",\"durability\":\"memory\",\"epoch\":1,\"shards\":") +
                                    std::to_string(shards_by_environment()) + ",\"started_at\":" + moment +
                                    ",\"uptime_seconds\":[0-9]+,\"ready\":true,\"sessions\":0,\"resident_bytes\":[1-9][0-9]+\\}\n"));
}

TEST_CASE("a topic and its subscriptions are described, each state of a message in its place") {
    running_admin broker;
    blocking_client client(broker.server());
    client.create_topic("photos", {.partitions = 2, .keep_bytes = 1000});
    client.create_subscription("photos", "thumbs", {.max_deliveries = 1});
    client.create_subscription("photos", "index");
    for (const auto* key : {"a", "a", "a"})
        blocking_client::value(client.call<client::receipt>([&](auto& b, auto done) { b.async_publish("photos", {.key = key, .payload = "x"}, std::move(done)); }));
    auto consumer = client.subscribe("photos", "thumbs", {.credit_messages = 2});
    std::vector<client::delivery> held;
    while (held.size() < 2)
        for (auto& d : client.receive(consumer)) held.push_back(d);
    consumer.ack(held[0]);
    CHECK(client.settle(consumer).lost.empty());

    const auto topic = broker.get("/v1/topics/photos");
    CHECK(topic.status == 200);
    CHECK_THAT(topic.body, StartsWith("{\"name\":\"photos\",\"id\":1,\"created_at\":\""));
    CHECK_THAT(topic.body, Contains("\"keep_age_ms\":0,\"keep_bytes\":1000,\"max_age_ms\":0,\"max_backlog_bytes\":0,\"on_limit\":\"refuse\",\"partitions\":[{\"start\":0,"));
    CHECK_THAT(topic.body, Contains("\"high\":3,\"bytes\":") && Contains("\"high\":0,\"bytes\":0,\"backlog_bytes\":0}"));
    CHECK_THAT(topic.body, Contains("],\"subscriptions\":[\"index\",\"thumbs\"]}\n"));

    const auto thumbs = broker.get("/v1/topics/photos/subscriptions/thumbs");
    CHECK(thumbs.status == 200);
    CHECK_THAT(thumbs.body, StartsWith("{\"topic\":\"photos\",\"name\":\"thumbs\",\"id\":1,\"created_at\":\""));
    CHECK_THAT(thumbs.body, Contains("\"max_deliveries\":1,") && Contains("\"dead_letter\":\"\",\"consumers\":1,\"partitions\":["));
    CHECK_THAT(thumbs.body, Contains("\"published\":3,\"acked\":1,\"dead\":0,\"parked\":0,\"expired\":0,\"skipped\":0,\"delayed\":0,\"ready\":"));
    const auto subscriptions = broker.get("/v1/topics/photos/subscriptions");
    CHECK_THAT(subscriptions.body, StartsWith("{\"subscriptions\":[{\"topic\":\"photos\",\"name\":\"index\",") && Contains(thumbs.body.substr(0, thumbs.body.size() - 1)));
    CHECK_THAT(subscriptions.body, Contains("],\"more\":false}\n"));
    CHECK(broker.get("/v1/topics").body == "{\"topics\":[" + topic.body.substr(0, topic.body.size() - 1) + "],\"more\":false}\n");
}

TEST_CASE("what is not there is named") {
    running_admin broker;
    blocking_client client(broker.server());
    client.create_topic("photos");
    const std::pair<const char*, const char*> missing[] = {
        {"/v1/topics/films", "no_such_topic"},
        {"/v1/topics/films/subscriptions", "no_such_topic"},
        {"/v1/topics/films/subscriptions/thumbs", "no_such_topic"},
        {"/v1/topics/photos/subscriptions/thumbs", "no_such_subscription"},
        {"/v1/topics/", "no_such_topic"},
        {"/v1/topics/../healthz", "not_found"},
        {"/v1/topics/photos/consumers", "not_found"},
        {"/v1/topics/photos/subscriptions/thumbs/more", "not_found"},
        {"/v1", "not_found"},
        {"/v1/", "not_found"},
        {"/", "not_found"},
        {"/metrics/", "not_found"},
    };
    for (const auto& [target, name] : missing) {
        CAPTURE(target);
        const auto answer = broker.get(target);
        CHECK(answer.status == 404);
        CHECK_THAT(answer.body, StartsWith("{\"error\":\"" + std::string(name) + "\",\"message\":\""));
    }
}

TEST_CASE("a list comes in parts") {
    running_admin broker;
    blocking_client client(broker.server());
    std::vector<std::string> expected;
    for (int i = 0; i < 250; ++i) {
        expected.push_back("topic" + std::to_string(1000 + i));
        client.create_topic(expected.back(), {.partitions = 10});
    }
    CHECK(names_in(broker.get("/v1/topics").body) == expected);
    std::vector<std::string> found;
    std::string body;
    do {
        body = broker.get("/v1/topics?limit=33" + (found.empty() ? "" : "&after=" + found.back())).body;
        const auto part = names_in(body);
        CHECK(part.size() <= 33);
        found.insert(found.end(), part.begin(), part.end());
    } while (body.ends_with("],\"more\":true}\n"));
    CHECK(found == expected);
    CHECK_THAT(body, Contains("],\"more\":false}\n"));
    CHECK(broker.get("/v1/topics?after=topic1249").body == "{\"topics\":[],\"more\":false}\n");
    for (const auto* query : {"limit=0", "limit=1001", "limit=", "limit=1x", "limit=-1", "page=2", "x", "&"}) {
        CAPTURE(query);
        const auto refused = broker.get(std::string("/v1/topics?") + query);
        CHECK(refused.status == 400);
        CHECK_THAT(refused.body, StartsWith("{\"error\":\"invalid_argument\""));
    }
}

TEST_CASE("sessions are listed with who they are and what they hold") {
    running_admin broker;
    client::connection_settings settings;
    settings.server = broker.server();
    settings.name = "thumb\"nails";
    blocking_client worker(settings);
    worker.create_topic("photos");
    worker.create_subscription("photos", "thumbs");
    blocking_client other(broker.server());
    blocking_client::value(other.publish("photos", "x"));
    auto consumer = worker.subscribe("photos", "thumbs", {.credit_messages = 10, .name = "first"});
    CHECK(worker.receive(consumer).size() == 1);
    const auto shards = shards_by_environment();  // of which each gives ids of its own, which tell whose a session is
    const auto first = "\"id\":" + std::to_string(shards == 1 ? 1 : shards) + ",", second = "\"id\":" + std::to_string(shards == 1 ? 2 : shards + 1) + ",";
    const auto body = broker.get("/v1/sessions").body;
    CHECK_THAT(body, StartsWith("{\"sessions\":[{" + first + "\"client\":\"thumb\\\"nails\",\"address\":\"127.0.0.1:"));
    CHECK_THAT(body, Contains("\"consumers\":[{\"consumer\":1,\"name\":\"first\",\"topic\":\"photos\",\"subscription\":\"thumbs\",\"credit_messages\":9,\"credit_bytes\":"));
    CHECK_THAT(body, Contains("\"leased\":1}]},{" + second + "\"client\":\"test\",") && Contains("\"consumers\":[]}],\"more\":false}\n"));
    CHECK_THAT(broker.get("/v1/sessions?limit=1").body, Contains(first) && !Contains(second) && Contains("],\"more\":true}\n"));
    CHECK_THAT(broker.get("/v1/sessions?after=" + std::to_string(shards)).body, StartsWith("{\"sessions\":[{" + second) && Contains("],\"more\":false}\n"));
    CHECK(broker.get("/v1/sessions?after=one").status == 400);
}

TEST_CASE("while the store is being opened again, what only the shard knows is not to be had") {
    running_admin broker;
    blocking_client client(broker.server());
    client.create_topic("photos");
    broker.store().fail({errc::outcome_unknown, "the disk is gone"}, {errc::storage_failure, "no disk"});
    CHECK(client.publish("photos", "x").code);
    for (const auto* target : {"/v1/topics", "/v1/topics/photos", "/v1/topics/photos/subscriptions", "/v1/topics/photos/subscriptions/thumbs"}) {
        CAPTURE(target);
        const auto refused = broker.get(target);
        CHECK(refused.status == 503);
        CHECK_THAT(refused.body, StartsWith("{\"error\":\"storage_failure\""));
    }
    CHECK_THAT(broker.get("/v1/broker").body, Contains("\"ready\":false,") && Contains("\"not_ready\":\"storage_failure: "));
    CHECK_THAT(broker.get("/v1/sessions").body, StartsWith("{\"sessions\":["));
    broker.store().fail({}, {});
    while (broker.get("/readyz").status != 200) {}
    CHECK_THAT(broker.get("/v1/topics").body, Contains("\"name\":\"photos\""));
}

}  // namespace millrace
