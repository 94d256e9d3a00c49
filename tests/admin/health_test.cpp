// Alive and ready: what a supervisor and a load balancer go by.
#include <catch2/catch.hpp>

#include "tests/admin/running_admin.hpp"
#include "tests/process/blocking_client.hpp"

namespace millrace {
namespace {

using Catch::Matchers::StartsWith;

/// Asks until the answer has this status.
http_answer wait_for(const running_admin& broker, const std::string& target, int status) {
    http_client peer(broker.admin());
    for (;;)
        if (auto answer = peer.get(target); answer.status == status) return answer;
}

}  // namespace

TEST_CASE("a broker that serves is alive and ready") {
    running_admin broker;
    CHECK(broker.get("/healthz").status == 200);
    CHECK(broker.get("/healthz").body == "{\"status\":\"alive\"}\n");
    CHECK(broker.get("/readyz").status == 200);
    CHECK(broker.get("/readyz").body == "{\"status\":\"ready\"}\n");
}

TEST_CASE("a broker that waits for its disk while it drains is alive, and not ready") {
    running_admin broker;
    process::blocking_client client(broker.server());
    client.create_topic("photos");
    broker.store().close_gate();
    client.broker().async_publish("photos", {.payload = "x"}, [](boost::system::error_code, client::receipt) {});
    client.run_until([&] { return broker.store().commits_waiting() > 0; });
    http_client peer(broker.admin());
    broker.drain();
    const auto refused = peer.get("/readyz");
    CHECK(refused.status == 503);
    CHECK_THAT(refused.body, StartsWith("{\"error\":\"shutting_down\",\"message\":"));
    CHECK(peer.get("/healthz").status == 200);
}

TEST_CASE("a broker whose store is being opened again is alive, and ready when it is open") {
    running_admin broker;
    process::blocking_client client(broker.server());
    client.create_topic("photos");
    broker.store().fail({errc::outcome_unknown, "the disk is gone"}, {errc::storage_failure, "no disk"});
    CHECK(client.publish("photos", "x").code);
    const auto refused = wait_for(broker, "/readyz", 503);
    CHECK_THAT(refused.body, StartsWith("{\"error\":\"storage_failure\",\"message\":"));
    CHECK(broker.get("/healthz").status == 200);
    CHECK(broker.get("/metrics").status == 200);
    broker.store().fail({}, {});
    wait_for(broker, "/readyz", 200);
}

}  // namespace millrace
