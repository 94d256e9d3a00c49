// The HTTP of admin HTTP: methods, malformed and oversized requests, keep-alive, and peers that are slow, silent or many.
#include <catch2/catch.hpp>
#include <thread>

#include "tests/admin/running_admin.hpp"

namespace millrace {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using namespace std::chrono_literals;

/// What a peer that sends `bytes` is told before its connection is closed.
http_answer told(const running_admin& broker, const std::string& bytes) {
    http_client peer(broker.admin());
    peer.send(bytes);
    auto answer = peer.read();
    if (!answer) throw std::runtime_error("closed without an answer");
    CHECK(peer.is_closed());
    return *answer;
}

}  // namespace

TEST_CASE("one connection serves many requests, also sent ahead") {
    running_admin broker;
    http_client peer(broker.admin());
    for (int i = 0; i < 3; ++i) CHECK(peer.get("/healthz").status == 200);
    const std::string request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    peer.send(request + request);
    CHECK(peer.read()->status == 200);
    CHECK(peer.read()->status == 200);
    CHECK(broker.http_connections() == 1);
}

TEST_CASE("a peer that wants its connection closed gets it closed") {
    running_admin broker;
    CHECK(told(broker, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status == 200);
    CHECK(told(broker, "GET /healthz HTTP/1.0\r\n\r\n").status == 200);
}

TEST_CASE("HEAD is GET without the body") {
    running_admin broker;
    http_client peer(broker.admin());
    const auto whole = peer.get("/healthz");
    const auto head = peer.get("/healthz", {}, "HEAD");
    CHECK(head.status == 200);
    CHECK(head.headers == whole.headers);
    CHECK(peer.get("/nowhere", {}, "HEAD").status == 404);
    CHECK(peer.get("/healthz").body == whole.body);
}

TEST_CASE("errors are JSON with a name and what to do") {
    running_admin broker;
    const auto missing = broker.get("/v2/topics?x=1");
    CHECK(missing.status == 404);
    CHECK(missing.headers.at("content-type") == "application/json");
    CHECK_THAT(missing.body, StartsWith("{\"error\":\"not_found\",\"message\":\"there is nothing at /v2/topics: "));
    for (const auto* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"}) {
        const auto refused = http_client(broker.admin()).get("/healthz", {}, method);
        CHECK(refused.status == 405);
        CHECK(refused.headers.at("allow") == "GET, HEAD");
        CHECK_THAT(refused.body, StartsWith("{\"error\":\"method_not_allowed\",\"message\":\"" + std::string(method) + " is not taken"));
    }
}

TEST_CASE("what is not HTTP is told so and closed") {
    running_admin broker;
    const std::string wrong[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /healthz\r\n\r\n",
        "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n",  // no Host
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(300, '\x07'),  // a TLS client
        std::string("\0\0\0\x20", 4) + std::string(60, '\0'),                                         // a Millrace client
    };
    for (const auto& bytes : wrong) {
        CAPTURE(bytes);
        const auto answer = told(broker, bytes);
        CHECK(answer.status == 400);
        CHECK_THAT(answer.body, StartsWith("{\"error\":\"bad_request\""));
    }
    CHECK(broker.get("/healthz").status == 200);
}

TEST_CASE("a head is bounded, and a body is not taken") {
    running_admin broker;
    const auto large = told(broker, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
    CHECK(large.status == 431);
    CHECK_THAT(large.body, StartsWith("{\"error\":\"header_too_large\""));
    CHECK(told(broker, "GET /" + std::string(20'000, 'x')).status == 431);
    CHECK(told(broker, "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello").status == 413);
    CHECK(told(broker, "POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").status == 405);
}

TEST_CASE("a head that comes byte by byte is one") {
    running_admin broker;
    http_client peer(broker.admin());
    for (const char c : std::string("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) peer.send({c});
    CHECK(peer.read()->status == 200);
}

TEST_CASE("peers that say nothing, or stop in the middle, are dropped") {
    running_admin impatient({.idle_timeout = 20ms});
    CHECK(http_client(impatient.admin()).is_closed());
    while (impatient.http_connections() > 0) {}
    running_admin broker({.request_timeout = 20ms});
    http_client half(broker.admin());
    half.send("GET /healthz HT");
    CHECK(half.is_closed());
    while (broker.http_connections() > 0) {}
    CHECK(broker.get("/healthz").status == 200);
}

TEST_CASE("answers that are not taken hold a bounded memory") {
    running_admin broker({.answer_bytes_max = 1000});
    CHECK(broker.get("/healthz").status == 200);
    const auto refused = broker.get("/metrics");
    CHECK(refused.status == 503);
    CHECK_THAT(refused.body, StartsWith("{\"error\":\"busy\""));
    CHECK(broker.get("/healthz").status == 200);
}

TEST_CASE("a new peer takes the place of the one that has waited longest") {
    running_admin broker({.connections_max = 2});
    http_client oldest(broker.admin());
    CHECK(oldest.get("/healthz").status == 200);
    http_client half(broker.admin());
    half.send("GET /heal");
    CHECK(oldest.get("/healthz").status == 200);  // now half has waited longest
    http_client third(broker.admin());
    CHECK(third.get("/healthz").status == 200);
    CHECK(half.is_closed());
    CHECK(oldest.get("/healthz").status == 200);
    CHECK(broker.http_connections() == 2);
}

}  // namespace millrace
