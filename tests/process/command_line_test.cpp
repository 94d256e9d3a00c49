// Every command of millrace against a real broker: what it prints, and how it ends.
#include <algorithm>
#include <boost/json/src.hpp>
#include <catch2/catch.hpp>
#include <fstream>

#include "millrace/error.hpp"
#include "tests/process/blocking_client.hpp"
#include "tests/process/broker_process.hpp"

namespace millrace::process {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
namespace json = boost::json;

struct broker_with_photos {
    broker_process broker{{"--store", "memory:"}};

    broker_with_photos() {
        done({"topic", "create", "photos"});
        done({"subscription", "create", "photos", "thumbs"});
    }

    /// Runs a command that must succeed silently on stderr: its stdout.
    std::string done(const std::vector<std::string>& arguments, const std::string& input = {}) const {
        const auto ended = millrace(broker, arguments, input);
        CAPTURE(arguments);
        CHECK(ended.err == "");
        REQUIRE(ended.code == 0);
        return ended.out;
    }

    /// The same with --json: each line is an object.
    std::vector<json::object> objects(std::vector<std::string> arguments, const std::string& input = {}) const {
        arguments.insert(arguments.begin(), "--json");
        std::vector<json::object> all;
        std::istringstream lines(done(arguments, input));
        for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line).as_object());
        return all;
    }

    void refused(const std::vector<std::string>& arguments, errc code, const std::string& input = {}) const {
        const auto ended = millrace(broker, arguments, input);
        CAPTURE(arguments);
        CHECK(ended.code == 1);
        CHECK_THAT(ended.err, StartsWith(std::string("millrace: ") + name_of(code) + ": "));
        CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
    }

    void usage(const std::vector<std::string>& arguments) const {
        const auto ended = millrace(broker, arguments);
        CAPTURE(arguments);
        CHECK(ended.code == 2);
        CHECK(ended.out == "");
        CHECK(ended.err != "");
    }
};

}  // namespace

TEST_CASE_METHOD(broker_with_photos, "topics are created, listed, described, changed, purged and deleted") {
    CHECK(done({"topic", "create", "films", "--partitions", "3", "--keep", "24h", "--max-backlog", "1GiB"}) == "");
    CHECK(done({"topic", "list"}) == "films\nphotos\n");
    CHECK_THAT(done({"topic", "describe", "films"}), Contains("films") && Contains("24h") && Contains("1GiB") && Contains("partition 2"));

    const auto films = objects({"topic", "describe", "films"}).at(0);
    CHECK(films.at("name") == "films");
    CHECK(films.at("partitions").as_array().size() == 3);
    CHECK(films.at("keep_age_ms") == 86'400'000);
    CHECK(objects({"topic", "update", "films", "--partitions", "4"}).at(0).at("partitions").as_array().size() == 4);
    CHECK(objects({"topic", "list"}).size() == 2);
    CHECK(objects({"topic", "create", "songs"}).at(0).at("name") == "songs");

    done({"publish", "photos", "--lines"}, "a\nb\n");
    CHECK(done({"topic", "purge", "photos"}) == "");
    CHECK(objects({"subscription", "describe", "photos", "thumbs"}).at(0).at("partitions").at(0).at("skipped") == 2);
    CHECK(objects({"topic", "purge", "photos"}).at(0).at("purged") == true);

    CHECK(done({"topic", "delete", "films"}) == "");
    CHECK(objects({"topic", "delete", "songs"}).at(0).at("deleted") == true);
    CHECK(done({"topic", "list"}) == "photos\n");
}

TEST_CASE_METHOD(broker_with_photos, "refusals about topics name their error") {
    refused({"topic", "create", "photos"}, errc::topic_exists);
    refused({"topic", "create", "no/slashes"}, errc::invalid_name);
    refused({"topic", "create", std::string(256, 'x')}, errc::invalid_name);
    refused({"topic", "create", ""}, errc::invalid_name);
    refused({"topic", "create", "films", "--partitions", "0"}, errc::invalid_argument);
    refused({"topic", "create", "films", "--partitions", "100000"}, errc::invalid_argument);
    for (const char* verb : {"describe", "update", "delete", "purge"}) refused({"topic", verb, "nowhere"}, errc::no_such_topic);
    done({"topic", "update", "photos", "--partitions", "2"});
    refused({"topic", "update", "photos", "--partitions", "1"}, errc::invalid_argument);

    blocking_client client(broker.address());
    const auto attached = client.subscribe("photos", "thumbs");
    refused({"topic", "delete", "photos"}, errc::in_use);
    refused({"subscription", "delete", "photos", "thumbs"}, errc::in_use);
    CHECK(done({"topic", "delete", "photos", "--force"}) == "");
}

TEST_CASE_METHOD(broker_with_photos, "subscriptions are created, listed, described and deleted") {
    done({"publish", "photos", "--lines"}, "a\nb\nc\n");
    CHECK(done({"subscription", "create", "photos", "late", "--from", "latest", "--visibility-timeout", "5m"}) == "");
    CHECK(done({"subscription", "create", "photos", "second", "--from", "1"}) == "");
    const auto listed = done({"subscription", "list", "photos"});
    CHECK_THAT(listed, Contains("late\n") && Contains("second\n") && Contains("thumbs\n"));
    CHECK(objects({"subscription", "list", "photos"}).size() == 3);
    CHECK_THAT(done({"subscription", "describe", "photos", "late"}), Contains("visibility-timeout  5m"));

    const auto thumbs = objects({"subscription", "describe", "photos", "thumbs"}).at(0).at("partitions").at(0);
    CHECK(thumbs.at("published") == 3);
    CHECK(thumbs.at("ready") == 3);
    CHECK(objects({"subscription", "describe", "photos", "late"}).at(0).at("partitions").at(0).at("published") == 0);
    CHECK(objects({"subscription", "describe", "photos", "second"}).at(0).at("partitions").at(0).at("published") == 2);

    CHECK(done({"subscription", "delete", "photos", "late"}) == "");
    CHECK(objects({"subscription", "delete", "photos", "second"}).at(0).at("deleted") == true);
    CHECK(done({"subscription", "list", "photos"}) == "thumbs\n");
}

TEST_CASE_METHOD(broker_with_photos, "refusals about subscriptions name their error") {
    refused({"subscription", "create", "photos", "thumbs"}, errc::subscription_exists);
    refused({"subscription", "create", "nowhere", "thumbs"}, errc::no_such_topic);
    refused({"subscription", "create", "photos", "a b"}, errc::invalid_name);
    refused({"subscription", "create", "photos", "quick", "--visibility-timeout", "1ms"}, errc::invalid_argument);
    refused({"subscription", "list", "nowhere"}, errc::no_such_topic);
    refused({"subscription", "describe", "photos", "nobody"}, errc::no_such_subscription);
    refused({"subscription", "delete", "photos", "nobody"}, errc::no_such_subscription);
    refused({"consume", "photos", "nobody", "--max", "1"}, errc::no_such_subscription);
    refused({"consume", "nowhere", "thumbs", "--max", "1"}, errc::no_such_topic);
}

TEST_CASE_METHOD(broker_with_photos, "files, lines and stdin are published and come out again") {
    scratch_directory scratch;
    const auto first = (scratch.path() / "first").string();
    const auto second = (scratch.path() / "second").string();
    std::ofstream(first) << "whole\nfile";
    std::ofstream(second) << "line 1\nline 2";
    CHECK(done({"publish", "photos", first, second}) == "");
    done({"publish", "photos", "--lines", second});
    done({"publish", "photos", "-"}, "from stdin");
    done({"publish", "photos"}, "");
    CHECK(done({"peek", "photos"}) == "whole\nfile\nline 1\nline 2\nline 1\nline 2\nfrom stdin\n\n");
    CHECK(done({"peek", "photos", "--from", "2", "--max", "2"}) == "line 1\nline 2\n");
    CHECK(done({"peek", "photos", "--from", "6"}) == "");
    CHECK(done({"consume", "photos", "thumbs", "--max", "6"}) == "whole\nfile\nline 1\nline 2\nline 1\nline 2\nfrom stdin\n\n");
    CHECK(done({"consume", "photos", "thumbs", "--timeout", "100ms"}) == "");
}

TEST_CASE_METHOD(broker_with_photos, "receipts and messages are shown as JSON, bytes that are no text in base64") {
    const auto receipts = objects({"publish", "photos", "--lines", "--key", "album 7", "--header", "kind=jpeg", "--header", "empty="}, "a \"b\"\n\xff\xfe\n");
    REQUIRE(receipts.size() == 2);
    CHECK(receipts[1].at("sequence") == 1);
    CHECK(receipts[1].at("durability") == "memory");
    for (const auto& all : {objects({"peek", "photos"}), objects({"consume", "photos", "thumbs", "--max", "2"})}) {
        REQUIRE(all.size() == 2);
        CHECK(all[0].at("payload") == "a \"b\"");
        CHECK(all[0].at("key") == "album 7");
        CHECK(all[0].at("headers").at(0).at("value") == "jpeg");
        CHECK(all[1].at("payload_base64") == "//4=");
    }
}

TEST_CASE_METHOD(broker_with_photos, "consume stops at --max, and what it does not ack comes again") {
    done({"publish", "photos", "--lines"}, "a\nb\nc\nd\n");
    CHECK(done({"consume", "photos", "thumbs", "--max", "1"}) == "a\n");
    CHECK(done({"consume", "photos", "thumbs", "--max", "2", "--no-ack"}) == "b\nc\n");
    const auto progress = objects({"subscription", "describe", "photos", "thumbs"}).at(0).at("partitions").at(0);
    CHECK(progress.at("acked") == 1);
    CHECK(progress.at("published") == 4);
    CHECK(done({"consume", "photos", "thumbs", "--max", "0"}) == "");
}

TEST_CASE_METHOD(broker_with_photos, "an ack that comes when somebody else has the message is told so") {
    done({"subscription", "create", "photos", "hasty", "--visibility-timeout", "100ms"});
    done({"publish", "photos"}, "x");
    blocking_client slow(broker.address());
    client::subscribe_options one;
    one.credit_messages = 1;  // or it would come to her again
    auto hers = slow.subscribe("photos", "hasty", one);
    const auto delivery = slow.receive(hers).at(0);
    REQUIRE(hers.start(delivery));
    CHECK(slow.settle(hers).lost.empty());
    blocking_client quick(broker.address());
    auto his = quick.subscribe("photos", "hasty");
    CHECK(quick.receive(his).at(0).attempt == 2);
    hers.ack(delivery);
    CHECK(slow.settle(hers).lost.size() == 1);
    CHECK(quick.describe("photos", "hasty").partitions.at(0).acked == 0);
}

TEST_CASE_METHOD(broker_with_photos, "what cannot be published is refused") {
    refused({"publish", "nowhere"}, errc::no_such_topic, "x");
    refused({"publish", "photos"}, errc::message_too_large, std::string(limits::message_bytes + 1, 'x'));
    refused({"peek", "nowhere"}, errc::no_such_topic);
    const auto missing = millrace(broker, {"publish", "photos", "/no/such/file"});
    CHECK(missing.code == 1);
    CHECK_THAT(missing.err, StartsWith("millrace: cannot read /no/such/file"));
    const auto folder = millrace(broker, {"publish", "photos", "/"});
    CHECK(folder.code == 1);
    done({"topic", "create", "small", "--max-backlog", "1KiB"});
    done({"subscription", "create", "small", "s"});
    refused({"publish", "small", "--lines"}, errc::backlog_full, std::string(2000, 'x') + "\n" + std::string(2000, 'x') + "\n");
    CHECK(done({"peek", "photos"}) == "");
}

TEST_CASE_METHOD(broker_with_photos, "usage errors end with 2") {
    usage({});
    usage({"topic"});
    usage({"topic", "create"});
    usage({"topic", "create", "films", "--partitions", "many"});
    usage({"topic", "create", "films", "--keep", "long"});
    usage({"topic", "create", "films", "--max-age", "10"});
    usage({"subscription", "create", "photos"});
    usage({"subscription", "create", "photos", "s", "--from", "yesterday"});
    usage({"publish"});
    usage({"publish", "photos", "--header", "no equals sign"});
    usage({"consume", "photos"});
    usage({"consume", "photos", "thumbs", "--timeout", "soon"});
    usage({"consume", "photos", "thumbs", "--credit", "0"});
    usage({"consume", "photos", "thumbs", "--max", "-1"});
    usage({"peek", "photos", "--from", "start"});
    usage({"fly"});
    CHECK(done({"--help"}) != "");
    CHECK(done({"publish", "--help"}) != "");
}

TEST_CASE_METHOD(broker_with_photos, "with --json a refusal is an object on stderr too") {
    const auto refusal_of = [&](std::vector<std::string> arguments, const std::string& input = {}) {
        arguments.insert(arguments.begin(), "--json");
        const auto ended = millrace(broker, arguments, input);
        CHECK(ended.code == 1);
        CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
        return json::parse(ended.err).as_object();
    };
    const auto refused = refusal_of({"topic", "describe", "no\"where"});
    CHECK(refused.at("error") == "no_such_topic");
    CHECK_THAT(std::string(refused.at("message").as_string()), Contains("no\"where") && !Contains("no_such_topic"));
    CHECK(refusal_of({"publish", "nowhere"}, "x").at("error") == "no_such_topic");
    CHECK(refusal_of({"publish", "photos", "/no/such/file"}).at("error") == "failed");
    CHECK(json::parse(run_command(MILLRACE_PATH, {"--json", "--server", "nonsense", "topic", "list"}).err).as_object().contains("message"));
}

TEST_CASE_METHOD(broker_with_photos, "every command prints objects with --json, and nothing else") {
    CHECK(objects({"topic", "create", "films"}).size() == 1);
    CHECK(objects({"topic", "update", "films", "--max-age", "1h"}).size() == 1);
    CHECK(objects({"topic", "describe", "films"}).size() == 1);
    CHECK(objects({"topic", "list"}).size() == 2);
    CHECK(objects({"subscription", "create", "films", "s"}).size() == 1);
    CHECK(objects({"subscription", "update", "films", "s", "--max-deliveries", "3"}).size() == 1);
    CHECK(objects({"subscription", "describe", "films", "s"}).size() == 1);
    CHECK(objects({"subscription", "list", "films"}).size() == 1);
    CHECK(objects({"publish", "films", "--lines"}, "a\nb\n").size() == 2);
    CHECK(objects({"peek", "films"}).size() == 2);
    CHECK(objects({"consume", "films", "s", "--max", "1"}).size() == 1);
    CHECK(objects({"topic", "purge", "films"}).size() == 1);
    CHECK(objects({"subscription", "delete", "films", "s"}).size() == 1);
    CHECK(objects({"topic", "delete", "films"}).size() == 1);
}

TEST_CASE_METHOD(broker_with_photos, "long work tells a terminal how far it is, and nobody else") {
    const auto on_terminal = [&](const std::string& arguments) {  // stdout to a file, stderr and nothing else on the terminal
        return run_command("/usr/bin/script", {"-qec", std::string(MILLRACE_PATH) + " --server " + broker.address() + " " + arguments + " >/dev/null </dev/null", "/dev/null"}).out;
    };
    scratch_directory scratch;
    const auto file = (scratch.path() / "lines").string();
    std::ofstream(file) << "a\nb\nc\n";
    CHECK_THAT(on_terminal("publish photos --lines " + file), Contains("\rpublished 3\r\n"));
    CHECK_THAT(on_terminal("consume photos thumbs --max 2"), Contains("\rconsumed 2 of 2\r\n"));
    CHECK_THAT(on_terminal("topic list"), !Contains("\r"));
    done({"publish", "photos", "--lines", file});  // checks that stderr is empty
}

TEST_CASE("a program says its version and what completes it, without a broker") {
    const auto printed = [](const std::vector<std::string>& arguments) {
        const auto ended = run_command(MILLRACE_PATH, arguments);
        CHECK(ended.code == 0);
        return ended.out;
    };
    CHECK_THAT(printed({"--version"}), StartsWith("millrace ") && Contains("."));
    CHECK(printed({"complete", "--", "--tok"}) == "--token\n--token-file\n");
    CHECK(printed({"complete", "--", "--ver"}) == "--version\n");
    CHECK(printed({"complete", "--", "--token-file", ""}) == ":files\n");
}

TEST_CASE("no broker, no command: one line says so") {
    std::string gone;
    {
        broker_process broker({"--store", "memory:"});
        gone = broker.address();
        broker.kill();
    }
    const auto ended = run_command(MILLRACE_PATH, {"--server", gone, "topic", "list"});
    CHECK(ended.code == 1);
    CHECK_THAT(ended.err, StartsWith("millrace: ") && Contains(gone));
    CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
    for (const char* nonsense : {"", "nowhere", "127.0.0.1:port", "127.0.0.1:99999", ":7070"})
        CHECK(run_command(MILLRACE_PATH, {"--server", nonsense, "topic", "list"}).code == 1);
}

}  // namespace millrace::process
