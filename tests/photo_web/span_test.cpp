// Ids that come from strangers, and the line that a span becomes.
#include "examples/photo_stack/spans/span.hpp"

#include <catch2/catch.hpp>

using namespace photo_spans;

namespace {

constexpr auto header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("span - a traceparent is read and written") {
    const auto context = parse_traceparent(header);
    REQUIRE(context);
    CHECK(context->trace == "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK(context->span == "00f067aa0ba902b7");
    CHECK(traceparent(*context) == header);
}

TEST_CASE("span - what is no traceparent is nothing") {
    const std::string good = header;
    for (std::size_t length = 0; length < good.size(); ++length) CHECK_FALSE(parse_traceparent(good.substr(0, length)));
    CHECK_FALSE(parse_traceparent(good + "0"));
    CHECK_FALSE(parse_traceparent("01" + good.substr(2)));
    CHECK_FALSE(parse_traceparent("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"));
    CHECK_FALSE(parse_traceparent("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
    CHECK_FALSE(parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"));
    CHECK_FALSE(parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e47\"6-00f067aa0ba902b7-01"));
}

TEST_CASE("span - a child has its parent's trace and a name of its own") {
    span parent, child, stranger;
    child.continue_trace(parent.context());
    CHECK(child.context().trace == parent.context().trace);
    CHECK(child.context().span != parent.context().span);
    CHECK(stranger.context().trace != parent.context().trace);
    CHECK(contains(child.line("x", {}), "\"parent\":\"" + parent.context().span + "\""));
    CHECK_FALSE(contains(parent.line("x", {}), "parent"));
    CHECK(parse_traceparent(traceparent(child.context())) == child.context());
}

TEST_CASE("span - the line is JSON, whatever the texts are") {
    span s;
    s.add_part("database", s.begun());
    const auto line = s.line("GET /", {{"user", "a\"b\\c\nd"}});
    CHECK(contains(line, R"("user":"a\u0022b\u005cc\u000ad")"));
    CHECK(contains(line, R"("parts":[{"name":"database","after":0.000000,"seconds":0.)"));
    CHECK(line.starts_with("span {"));
    CHECK(line.ends_with("}"));
    CHECK(line.find('\n') == std::string::npos);
}
