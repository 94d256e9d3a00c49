// The log: every line is one line of text or one JSON object, whatever clients call themselves, and a flood of them does not fill the disk.
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json/src.hpp>
#include <catch2/catch.hpp>
#include <ctime>
#include <sstream>

#include "broker/log.hpp"

namespace millrace {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
namespace json = boost::json;

/// What the default logger writes while this is there.
struct captured_log {
    std::ostringstream out;
    std::shared_ptr<spdlog::logger> before = spdlog::default_logger();

    explicit captured_log(std::unique_ptr<spdlog::formatter> formatter) {
        auto logger = std::make_shared<spdlog::logger>("millraced", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
        logger->set_formatter(std::move(formatter));
        logger->set_level(spdlog::level::trace);
        spdlog::set_default_logger(logger);
    }
    ~captured_log() { spdlog::set_default_logger(before); }

    /// The one line written, without its end.
    std::string line() const {
        const auto text = out.str();
        CHECK(std::count(text.begin(), text.end(), '\n') == 1);
        REQUIRE_THAT(text, EndsWith("\n"));
        return text.substr(0, text.size() - 1);
    }
    json::object object() const { return json::parse(line()).as_object(); }
};

timestamp at(int seconds) { return timestamp{std::chrono::seconds{seconds}}; }

}  // namespace

TEST_CASE("a line of text stays one line") {
    captured_log log(make_text_formatter());
    spdlog::warn("client '{}'", "a\nb\r\x1b[31m\xff\xc3\xa4\"");
    CHECK_THAT(log.line(), StartsWith("[2") && EndsWith("[millraced] [warning] client 'a\\nb\\x0d\\x1b[31m\\xff\xc3\xa4\"'"));
}

TEST_CASE("a JSON line has time in UTC, level and message") {
    captured_log log(make_json_formatter());
    const auto before = std::chrono::system_clock::now();
    spdlog::info("it serves");
    const auto o = log.object();
    CHECK(o.size() == 3);
    CHECK(o.at("level") == "info");
    CHECK(o.at("message") == "it serves");
    const auto time = std::string(o.at("time").as_string());
    REQUIRE(time.size() == std::string("2026-01-31T12:00:00.000000Z").size());
    std::tm parts{};
    REQUIRE(::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts));
    CHECK(std::abs(static_cast<long>(::timegm(&parts) - std::chrono::system_clock::to_time_t(before))) <= 60);
    CHECK(time.back() == 'Z');
}

TEST_CASE("fields stand beside the message, escaped, and only there") {
    captured_log log(make_json_formatter());
    const std::string client = "\"quoted\\\"\n\x01\xff\xed\xa0\x80\xc3\xa4";
    log_line(spdlog::level::err, {{"session", std::uint64_t{18'446'744'073'709'551'615u}}, {"client", client}, {"left", -3}}, "message of " + client);
    const auto o = log.object();
    CHECK(o.at("session").to_number<std::uint64_t>() == 18'446'744'073'709'551'615u);
    CHECK(o.at("left") == -3);
    CHECK(o.at("client") == "\"quoted\\\"\n\x01\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4");
    log.out.str("");
    spdlog::info("the next line");
    CHECK(log.object().size() == 3);
}

TEST_CASE("every two bytes are valid JSON") {
    captured_log log(make_json_formatter());
    for (int first = 0; first < 256; ++first)
        for (int second = 0; second < 256; ++second) {
            log.out.str("");
            log_line(spdlog::level::info, {}, {static_cast<char>(first), static_cast<char>(second)});
            boost::system::error_code failed;
            json::parse(log.out.str(), failed);
            if (failed) FAIL("bytes " << first << ' ' << second << ": " << log.out.str());
        }
}

TEST_CASE("a level that is not wanted is not written") {
    captured_log log(make_json_formatter());
    spdlog::default_logger()->set_level(spdlog::level::info);
    log_line(spdlog::level::debug, {}, "whispered");
    CHECK(log.out.str().empty());
}

TEST_CASE("of a flood the first lines are said, and later how many were not") {
    log_limit limit(3, std::chrono::seconds{10});
    int said = 0;
    for (int i = 0; i < 1'000; ++i) said += limit.take(at(100));
    CHECK(said == 3);
    CHECK(limit.left_out(at(109)) == 0);  // the period is not over
    CHECK(limit.left_out(at(110)) == 997);
    CHECK(limit.left_out(at(111)) == 0);
    for (int i = 0; i < 5; ++i) said += limit.take(at(112));
    CHECK(said == 6);
    CHECK(limit.take(at(122)));  // a new period, before anybody asked about the last
    CHECK(limit.left_out(at(122)) == 2);
}

}  // namespace millrace
