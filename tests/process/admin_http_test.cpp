// Admin HTTP of a real millraced, asked as curl would.
#include <catch2/catch.hpp>

#include "tests/admin/exposition.hpp"
#include "tests/admin/http_client.hpp"
#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"

namespace millrace::process {
namespace {

series_values scrape(const broker_process& broker) {
    const auto answer = http_client(broker.admin_address()).get("/metrics");
    CHECK(answer.status == 200);
    CHECK(answer.headers.at("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    return parse_exposition(answer.body);
}

}  // namespace

TEST_CASE("millraced answers HTTP where its ready line says") {
    scratch_directory scratch;
    broker_process broker({"--store", scratch.store()});
    http_client peer(broker.admin_address());
    CHECK(peer.get("/healthz").status == 200);
    CHECK(peer.get("/readyz").status == 200);
    const auto before = scrape(broker);
    CHECK(value_of(before, "millrace_sessions") == 0);
    CHECK(value_of(before, "millrace_fencing_epoch") == 1);
    blocking_client client(broker.address());
    CHECK(value_of(scrape(broker), "millrace_sessions") == 1);
}

}  // namespace millrace::process
