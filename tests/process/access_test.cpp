// Tokens and rights against a real broker: who gets in, what each may do, and what a changed file of tokens does to those who are in.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/process/blocking_client.hpp"
#include "tests/process/raw_client.hpp"

namespace millrace::process {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using kind = wire::Message;

const std::string publisher = "publisher-publisher-publisher";
const std::string consumer = "consumer-consumer-consumer";
const std::string admin = "admin-admin-admin-admin";
const std::string watcher = "watcher-watcher-watcher";
const std::string everything = "everything-everything-everything";

const std::string everybody = "web publish " + publisher + "\nworker consume " + consumer + "\noperator admin " + admin + "\ngraphs none " + watcher +
                              "\nroot publish,consume,admin " + everything + "\n";

client::connection_settings settings_for(const std::string& server, const std::string& token) {
    client::connection_settings settings;
    settings.server = server;
    settings.token = token;
    settings.name = "test";
    settings.reconnect.enabled = false;
    return settings;
}

/// A broker with a file of tokens, a topic and a subscription.
struct guarded_broker {
    scratch_directory scratch;
    std::string file = (scratch.path() / "tokens").string();
    broker_process broker;

    guarded_broker() : broker({"--store", "memory:", "--auth-file", written(everybody)}) {
        CHECK(millrace(broker, {"--token", everything, "topic", "create", "photos"}).err == "");
        CHECK(millrace(broker, {"--token", everything, "subscription", "create", "photos", "thumbs"}).err == "");
    }

    std::string written(const std::string& text) const {
        std::ofstream(file) << text;
        std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
        return file;
    }

    /// SIGHUP after the file has become this; until the broker has said `words`.
    void reload(const std::string& text, const std::string& words) {
        written(text);
        broker.process().send(SIGHUP);
        broker.process().wait_for_words(words);
    }

    command_result as(const std::string& token, std::vector<std::string> arguments, const std::string& input = {}) const {
        arguments.insert(arguments.begin(), {"--token", token});
        return millrace(broker, arguments, input);
    }

    void may(const std::string& token, const std::vector<std::string>& arguments, const std::string& input = {}) const {
        const auto ended = as(token, arguments, input);
        CAPTURE(token, arguments, ended.err);
        CHECK(ended.code == 0);
    }

    void may_not(const std::string& token, const std::vector<std::string>& arguments, const std::string& right, const std::string& input = {}) const {
        const auto ended = as(token, arguments, input);
        CAPTURE(token, arguments, ended.err);
        CHECK(ended.code == 1);
        CHECK_THAT(ended.err, StartsWith("millrace: forbidden: ") && Contains("needs the right " + right));
    }
};

/// Says hello with a token; the answer.
heard_frame greet(raw_client& c, const std::string& token) {
    c.send(0, wire::CreateHelloDirect(c.builder, 1, 1, 0, token.c_str()));
    return c.read().value_or(heard_frame{});
}

}  // namespace

TEST_CASE_METHOD(guarded_broker, "without a token that is known nobody gets in") {
    for (const auto& token : {std::string(), std::string("nonsense"), publisher.substr(1), publisher + "x", std::string(10'000, 'x')}) {
        raw_client c(broker);
        const auto told = greet(c, token);
        CHECK(told.kind == kind::Goodbye);
        CHECK(told.code == errc::unauthorized);
        CHECK(!c.read());
    }
    const auto none = millrace(broker, {"topic", "list"});
    CHECK(none.code == 1);
    CHECK_THAT(none.err, StartsWith("millrace: unauthorized: ") && Contains("--token-file"));
    const auto wrong = as("nonsense", {"topic", "list"});
    CHECK(wrong.code == 1);
    CHECK_THAT(wrong.err, StartsWith("millrace: unauthorized: ") && Contains("does not know the token") && !Contains("nonsense"));
    CHECK_THAT(broker.process().errors(), Contains("unauthorized") && !Contains("nonsense"));
    may(watcher, {"topic", "list"});
}

TEST_CASE_METHOD(guarded_broker, "what is said before a hello is short, and refused when it is long") {
    raw_client c(broker);
    c.send(std::string("\0\0\x02\0\x10\0\0\0", 8));  // 128 KiB
    CHECK(c.read_goodbye() == errc::frame_too_large);
}

TEST_CASE_METHOD(guarded_broker, "each right allows its own requests and no others") {
    for (const auto& token : {publisher, consumer, admin, watcher, everything}) {
        may(token, {"topic", "list"});
        may(token, {"topic", "describe", "photos"});
        may(token, {"subscription", "list", "photos"});
        may(token, {"subscription", "describe", "photos", "thumbs"});
    }
    for (const auto& token : {consumer, admin, watcher}) may_not(token, {"publish", "photos"}, "publish", "x");
    for (const auto& token : {publisher, everything}) may(token, {"publish", "photos"}, "x");
    for (const auto& token : {publisher, admin, watcher}) {
        may_not(token, {"consume", "photos", "thumbs", "--max", "1"}, "consume");
        may_not(token, {"peek", "photos"}, "consume");
    }
    for (const auto& token : {consumer, everything}) {
        may(token, {"consume", "photos", "thumbs", "--max", "1"});
        may(token, {"peek", "photos"});
    }
    for (const auto& token : {publisher, consumer, watcher}) {
        may_not(token, {"topic", "create", "films"}, "admin");
        may_not(token, {"topic", "update", "photos", "--max-age", "1h"}, "admin");
        may_not(token, {"topic", "purge", "photos"}, "admin");
        may_not(token, {"topic", "delete", "photos", "--force"}, "admin");
        may_not(token, {"subscription", "create", "photos", "others"}, "admin");
        may_not(token, {"subscription", "update", "photos", "thumbs", "--max-deliveries", "3"}, "admin");
        may_not(token, {"subscription", "delete", "photos", "thumbs", "--force"}, "admin");
    }
    may(admin, {"topic", "create", "films"});
    may(admin, {"topic", "update", "films", "--max-age", "1h"});
    may(admin, {"subscription", "create", "films", "s"});
    may(admin, {"subscription", "update", "films", "s", "--max-deliveries", "3"});
    may(admin, {"topic", "purge", "films"});
    may(admin, {"subscription", "delete", "films", "s"});
    may(admin, {"topic", "delete", "films"});
}

TEST_CASE_METHOD(guarded_broker, "a refused request leaves the session alive, whatever it is") {
    raw_client c(broker);
    REQUIRE(greet(c, watcher).kind == kind::Welcome);
    auto& b = c.builder;
    const auto refused = [&](auto request, const std::vector<std::byte>& body = {}) {
        REQUIRE(c.send(7, request, body));
        const auto answer = c.read();
        REQUIRE(answer);
        CHECK(answer->id == 7);
        CHECK(answer->kind == kind::Failed);
        CHECK(answer->code == errc::forbidden);
    };
    refused(wire::CreatePublish(b, 1, 0, 1), records_of("x"));
    refused(wire::CreateOpenProducerDirect(b, "producer"));
    refused(wire::CreateSubscribeDirect(b, 1, "photos", "thumbs", 10, 1000));
    refused(wire::CreateUnsubscribe(b, 1));
    refused(wire::CreateAck(b, 1));
    refused(wire::CreateNack(b, 1));
    refused(wire::CreateReject(b, 1));
    refused(wire::CreateRelease(b, 1));
    refused(wire::CreateExtend(b, 1));
    refused(wire::CreatePeekDirect(b, "photos", 0, 0, 1, 1000));
    refused(wire::CreatePurgeTopicDirect(b, "photos"));
    c.send(0, wire::CreateCredit(b, 1, 10, 1000));  // without an answer, and without a consumer to have an effect on
    c.send(0, wire::CreateStart(b, 1));
    REQUIRE(c.send(8, wire::CreatePing(b)));
    CHECK(c.read()->kind == kind::Pong);
}

TEST_CASE_METHOD(guarded_broker, "a token may stand in a file") {
    const auto token_file = (scratch.path() / "mine").string();
    std::ofstream(token_file) << "  " << watcher << "\r\n";
    CHECK(millrace(broker, {"--token-file", token_file, "topic", "list"}).out == "photos\n");
    CHECK(millrace(broker, {"--token", "nonsense", "--token-file", token_file, "topic", "list"}).out == "photos\n");
    const auto refused = [&](const std::string& text, const std::string& words) {
        std::ofstream(token_file, std::ios::trunc) << text;
        const auto ended = millrace(broker, {"--token-file", token_file, "topic", "list"});
        CHECK(ended.code == 1);
        CHECK_THAT(ended.err, StartsWith("millrace: invalid_argument: the token file " + token_file) && Contains(words));
    };
    refused("", "is empty");
    refused(" \n", "is empty");
    refused(watcher + " " + publisher, "more than one word");
    refused(std::string(5000, 'x'), "longer than");
    const auto missing = millrace(broker, {"--token-file", "/no/such/file", "topic", "list"});
    CHECK(missing.code == 1);
    CHECK_THAT(missing.err, Contains("/no/such/file cannot be read: No such file"));
}

TEST_CASE_METHOD(guarded_broker, "names are completed for who has a token among the words") {
    const auto token_file = (scratch.path() / "mine").string();
    std::ofstream(token_file) << watcher;
    CHECK(millrace(broker, {"complete", "--", "--token", watcher, "publish", "ph"}).out == "photos\n");
    CHECK(millrace(broker, {"complete", "--", "--token-file=" + token_file, "consume", "photos", ""}).out == "thumbs\n");
    CHECK(millrace(broker, {"complete", "--", "publish", "ph"}).out == "");
}

TEST_CASE_METHOD(guarded_broker, "SIGHUP reads the tokens again") {
    blocking_client stays(settings_for(broker.address(), publisher));
    REQUIRE(!stays.publish("photos", "before").code);

    SECTION("a new token gets in, and who is in stays") {
        reload(everybody + "new none newcomer-newcomer-newcomer\n", "6 tokens were read");
        may("newcomer-newcomer-newcomer", {"topic", "list"});
        CHECK(!stays.publish("photos", "after").code);
    }
    SECTION("a token that is gone ends its sessions, and nobody else's") {
        blocking_client goes(settings_for(broker.address(), consumer));
        reload("web publish " + publisher + "\n", "the token of 'worker' was taken away");
        CHECK(goes.call<client::name_list>([](auto& b, auto done) { b.async_list_topics("", std::move(done)); }).code == make_error_code(errc::unauthorized));
        CHECK(as(consumer, {"topic", "list"}).code == 1);
        CHECK(!stays.publish("photos", "after").code);
    }
    SECTION("a token with fewer rights ends its sessions, which may come back to what is left") {
        reload("web none " + publisher + "\n", "now has fewer rights (none)");
        CHECK(stays.publish("photos", "after").code == make_error_code(errc::forbidden));
        may(publisher, {"topic", "list"});
        may_not(publisher, {"publish", "photos"}, "publish", "x");
    }
    SECTION("a token with more rights has them at once") {
        reload("web publish,consume " + publisher + "\n", "1 tokens were read");
        CHECK(stays.describe("photos", "thumbs").partitions.at(0).ready == 1);
        auto consumer_of_it = stays.subscribe("photos", "thumbs");
        CHECK(stays.receive(consumer_of_it).size() == 1);
    }
    SECTION("a file that is wrong changes nothing and says where") {
        reload("web publish " + publisher + "\nworker fly " + consumer + "\n", "the tokens stay as they were");
        CHECK_THAT(broker.process().errors(), Contains(file + ", line 2: the word 'fly' is no right"));
        CHECK(!stays.publish("photos", "after").code);
        may(consumer, {"topic", "list"});
    }
}

TEST_CASE_METHOD(guarded_broker, "a client whose token was taken away does not come back, and says why") {
    auto settings = settings_for(broker.address(), publisher);
    settings.reconnect.enabled = true;
    blocking_client c(settings);
    REQUIRE(!c.publish("photos", "before").code);
    reload("worker consume " + consumer + "\n", "the token of 'web' was taken away");
    const auto after = c.publish("photos", "after");  // would wait for the connection to come back, if it did
    CHECK(after.code == make_error_code(errc::unauthorized));
    CHECK_THAT(after.value.refusal, Contains("the token of 'web' was taken away"));
}

TEST_CASE("SIGHUP without tokens is no reason to end") {
    broker_process broker({"--store", "memory:"});
    broker.process().send(SIGHUP);
    broker.process().wait_for_words("there is no --auth-file");
    CHECK(millrace(broker, {"topic", "list"}).code == 0);
}

TEST_CASE("a file of tokens that cannot be used is a usage error with its line") {
    scratch_directory scratch;
    const auto file = (scratch.path() / "tokens").string();
    const auto refused = [&](const std::string& path, const std::string& words) {
        const auto ended = run_command(MILLRACED_PATH, {"--store", "memory:", "--listen", "127.0.0.1:0", "--auth-file", path});
        CHECK(ended.code == 2);
        CHECK_THAT(ended.err, StartsWith("millraced: invalid_argument: --auth-file " + path) && Contains(words));
    };
    refused("/no/such/file", "cannot be read: No such file");
    std::ofstream(file) << "web publish\n";
    refused(file, "line 1: there is no token");
    std::ofstream(file, std::ios::trunc) << everybody;
    std::filesystem::permissions(file, std::filesystem::perms::others_read, std::filesystem::perm_options::add);
    refused(file, "chmod o-r");
}

TEST_CASE("every address may be listened on with tokens") {
    scratch_directory scratch;
    const auto file = (scratch.path() / "tokens").string();
    std::ofstream(file) << everybody;
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    child_process broker(MILLRACED_PATH, {"--store", "memory:", "--listen", "0.0.0.0:0", "--admin", "none", "--auth-file", file});
    CHECK_THAT(broker.read_line().value_or(broker.errors()), StartsWith("ready listen=0.0.0.0:"));
}

}  // namespace millrace::process
