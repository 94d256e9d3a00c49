// Whom admin HTTP answers when there are tokens.
#include <catch2/catch.hpp>

#include "tests/admin/running_admin.hpp"

namespace millrace {
namespace {

using Catch::Matchers::StartsWith;

const std::string operator_token = "operator-operator-operator";
const std::string web_token = "web-web-web-web-web-web";
const std::string tokens = "operator admin " + operator_token + "\nweb publish,consume " + web_token + "\n";

}  // namespace

TEST_CASE("with tokens, only health is for everybody") {
    running_admin broker({}, tokens);
    http_client peer(broker.admin());
    CHECK(peer.get("/healthz").status == 200);
    CHECK(peer.get("/readyz").status == 200);
    for (const auto* target : {"/metrics", "/v1/broker", "/v1/topics", "/v1/topics/x", "/v1/sessions", "/nowhere", "/healthz/more", "/"}) {
        CAPTURE(target);
        const std::vector<std::string> strangers{"", "Bearer ", "Bearer", "Bearer wrong-wrong-wrong", "Basic " + operator_token, operator_token, "Bearer  " + operator_token};
        for (const auto& nobody : strangers) {
            CAPTURE(nobody);
            const auto refused = peer.get(target, nobody.empty() ? "" : "Authorization: " + nobody + "\r\n");
            CHECK(refused.status == 401);
            CHECK(refused.headers.at("www-authenticate") == "Bearer");
            CHECK_THAT(refused.body, StartsWith("{\"error\":\"unauthorized\",\"message\":\""));
        }
        const auto refused = peer.get(target, "Authorization: Bearer " + web_token + "\r\n");
        CHECK(refused.status == 403);
        CHECK_THAT(refused.body, StartsWith("{\"error\":\"forbidden\",\"message\":\""));
    }
    CHECK(peer.get("/metrics", "Authorization: Bearer " + operator_token + "\r\n").status == 200);
    CHECK(peer.get("/v1/topics", "authorization: bearer " + operator_token + "\r\n").status == 200);
    CHECK(peer.get("/nowhere", "Authorization: Bearer " + operator_token + "\r\n").status == 404);
    CHECK(peer.get("/v1/topics", "Authorization: Bearer " + web_token + "\r\n", "DELETE").status == 403);
}

TEST_CASE("without tokens nobody needs one") {
    running_admin broker;
    CHECK(http_client(broker.admin()).get("/v1/topics", "Authorization: Bearer anything\r\n").status == 200);
}

}  // namespace millrace
