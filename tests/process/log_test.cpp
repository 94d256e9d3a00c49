// What a real broker says on stderr: in JSON every line is an object, and no client makes it say more than a disk holds.
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "tests/process/blocking_client.hpp"
#include "tests/process/raw_client.hpp"

namespace millrace::process {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
namespace json = boost::json;

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
}

std::vector<json::object> objects_of(const std::string& text) {
    std::vector<json::object> all;
    for (const auto& line : lines_of(text)) {
        CAPTURE(line);
        boost::system::error_code failed;
        const auto value = json::parse(line, failed);
        REQUIRE(!failed);
        REQUIRE(value.is_object());
        for (const auto* field : {"time", "level", "message"}) CHECK(value.as_object().contains(field));
        all.push_back(value.as_object());
    }
    return all;
}

/// The first whose message has these words.
json::object line_about(const std::vector<json::object>& lines, const std::string& words) {
    for (const auto& line : lines)
        if (std::string(line.at("message").as_string()).find(words) != std::string::npos) return line;
    FAIL("nothing is said about '" << words << "'");
    return {};
}

/// Says hello under a name and then what no client says.
void misbehave(const broker_process& broker, const std::string& name) {
    raw_client c(broker);
    c.send(0, wire::CreateHelloDirect(c.builder, 1, 1, 0, nullptr, name.c_str()));
    REQUIRE(c.read()->kind == wire::Message::Welcome);
    c.send(std::string(64, '\x55'));
    c.read_goodbye();
}

}  // namespace

TEST_CASE("a life in JSON: serving, sessions that open, leave and are closed, the end") {
    broker_process broker({"--store", "memory:", "--log-format", "json", "--log-level", "debug"});
    { blocking_client well_behaved(broker.address()); }
    broker.process().wait_for_words(") left");
    misbehave(broker, "a \"name\"\nof \\ two lines\x1b[31m");
    REQUIRE(broker.stop() == 0);
    const auto lines = objects_of(broker.process().errors());

    const auto serving = line_about(lines, " serves on ");
    CHECK(serving.at("level") == "info");
    CHECK(serving.at("listen") == broker.address().c_str());
    CHECK(serving.at("store") == "memory:");
    CHECK(serving.at("durability") == "memory");
    CHECK(serving.at("epoch") == 1);
    const auto opened = line_about(lines, "opened from 127.0.0.1");
    CHECK(opened.at("level") == "debug");
    CHECK(opened.at("client") == "test");
    CHECK(opened.at("from") == "127.0.0.1");
    CHECK(line_about(lines, "left").at("session") == opened.at("session"));
    const auto closed = line_about(lines, " closed: ");
    CHECK(closed.at("client") == "a \"name\"\nof \\ two lines\x1b[31m");
    CHECK((closed.at("error") == "frame_too_large" || closed.at("error") == "malformed_frame"));
    CHECK(line_about(lines, "stopping").at("sessions") == 0);
    CHECK(lines.back().at("message") == "stopped");
}

TEST_CASE("in text a client's name stays on its line") {
    broker_process broker({"--store", "memory:"});
    misbehave(broker, "x\n[2026-01-01 00:00:00.000] [millraced] [info] forged");
    REQUIRE(broker.stop() == 0);
    for (const auto& line : lines_of(broker.process().errors())) CHECK_THAT(line, !Contains("forged") || Contains(" closed: "));
}

TEST_CASE("what ends a broker is an object too, and usage is not") {
    broker_process first({"--store", "memory:"});
    const environment_variable admin("MILLRACE_ADMIN", "none");
    const auto ended = run_command(MILLRACED_PATH, {"--store", "memory:", "--listen", first.address(), "--log-format", "json", "--log-level", "off"});
    CHECK(ended.code == 1);
    const auto lines = objects_of(ended.err);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].at("level") == "critical");
    CHECK_THAT(std::string(lines[0].at("message").as_string()), Contains(first.address()));
    CHECK_THAT(run_command(MILLRACED_PATH, {"--log-format", "json", "--store", "x"}).err, StartsWith("millraced: invalid_argument: --store is 'x'"));
}

TEST_CASE("a client that comes back a thousand times with a wrong token does not fill the log") {
    scratch_directory scratch;
    const auto file = (scratch.path() / "tokens").string();
    std::ofstream(file) << "web publish sha256:" << std::string(64, '0') << "\n";
    broker_process broker({"--store", "memory:", "--auth-file", file});
    for (int i = 0; i < 1'000; ++i) {
        raw_client c(broker);
        c.send(0, wire::CreateHelloDirect(c.builder, 1, 1, 0, "nonsense", "intruder"));
        REQUIRE(c.read_goodbye() == errc::unauthorized);
    }
    REQUIRE(broker.stop() == 0);
    const auto said = broker.process().errors();
    std::size_t closed = 0, left_out = 0;
    for (const auto& line : lines_of(said)) {
        closed += line.find("(intruder) closed: unauthorized: ") != std::string::npos;
        if (const auto at = line.find(" more sessions were closed within"); at != std::string::npos)
            left_out += std::stoul(line.substr(line.rfind(' ', at - 1) + 1));
    }
    CHECK(closed >= 20);
    CHECK(closed + left_out == 1'000);
    CHECK(lines_of(said).size() < 300);  // 20 lines in each 10 s, however long the thousand take
}

}  // namespace millrace::process
