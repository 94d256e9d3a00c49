// The configuration file: what may stand in it, and that anything else is refused with its line.
#include <catch2/catch.hpp>

#include "broker/config_file.hpp"

namespace millrace {
namespace {

using Catch::Matchers::Contains;
using kind = config_value::kind;

config_value only(const std::string& text) {
    const auto values = parse_config(text, "file.toml");
    INFO((values ? "" : values.failure().what));
    REQUIRE(values);
    REQUIRE(values.value().size() == 1);
    return values.value().front();
}

std::string refusal(const std::string& text) {
    const auto values = parse_config(text, "file.toml");
    REQUIRE(!values);
    CHECK(values.failure().code == errc::invalid_argument);
    return values.failure().what;
}

void is(const config_value& v, kind type, const std::string& value) {
    CHECK(v.type == type);
    CHECK(v.value == value);
}

}  // namespace

TEST_CASE("a file says nothing, or one thing a line") {
    CHECK(parse_config("", "f").value().empty());
    CHECK(parse_config("\n  \t\r\n# comment\n   # another\n", "f").value().empty());
    const auto values = parse_config("a = 1\r\n\n# c\n b-2\t=\ttrue # yes\nc_3='x'", "f").value();
    REQUIRE(values.size() == 3);
    CHECK(values[0].key == "a");
    CHECK(values[0].line == 1);
    CHECK(values[1].key == "b-2");
    CHECK(values[1].line == 4);
    CHECK(values[2].key == "c_3");
    CHECK(values[2].line == 5);
}

TEST_CASE("values are text, numbers and booleans as TOML writes them") {
    is(only("a = \"text # no comment\" # comment"), kind::text, "text # no comment");
    is(only(R"(a = "q\"b\\n\nt\t")"), kind::text, "q\"b\\n\nt\t");
    is(only(R"(a = 'C:\no escapes "here"')"), kind::text, R"(C:\no escapes "here")");
    is(only("a = ''"), kind::text, "");
    is(only("a = \"true\""), kind::text, "true");
    is(only("a=20_000"), kind::number, "20000");
    is(only("a = -5"), kind::number, "-5");
    is(only("a = true"), kind::boolean, "true");
    is(only("a = false#"), kind::boolean, "false");
}

TEST_CASE("anything else is refused with its line and what may stand there") {
    CHECK_THAT(refusal("\n\nlisten"), Contains("file.toml, line 3: a line is OPTION = VALUE"));
    CHECK_THAT(refusal("= 5"), Contains("a line is OPTION = VALUE"));
    CHECK_THAT(refusal("listen 5"), Contains("a line is OPTION = VALUE"));
    CHECK_THAT(refusal("\"listen\" = 5"), Contains("a line is OPTION = VALUE"));
    CHECK_THAT(refusal("a.b = 5"), Contains("a line is OPTION = VALUE"));
    CHECK_THAT(refusal("[broker]\n"), Contains("line 1: there are no tables here"));
    CHECK_THAT(refusal("listen ="), Contains("listen has no value") && Contains("true or false"));
    CHECK_THAT(refusal("listen = # nothing"), Contains("listen has no value"));
    for (const auto* odd : {"yes", "True", "1.5", "0x10", "_1", "1_", "-", "--1", "127.0.0.1:7070", "[1, 2]", "{}", "1e3", "-true", "+1", "\xff"})
        CHECK_THAT(refusal(std::string("a = ") + odd), Contains("line 1: a: '") && Contains("whole number"));
    CHECK_THAT(refusal("a = \"no end"), Contains("the text does not end: \" is missing"));
    CHECK_THAT(refusal("a = 'no end\""), Contains("the text does not end: ' is missing"));
    CHECK_THAT(refusal(R"(a = "\x")"), Contains("a backslash stands before"));
    CHECK_THAT(refusal("a = \"\\"), Contains("a backslash stands before"));
    CHECK_THAT(refusal("a = 1 2"), Contains("more follows the value"));
    CHECK_THAT(refusal("a = 'x' y"), Contains("more follows the value"));
    CHECK_THAT(refusal("a = 1\nb = 2\na = 3"), Contains("line 3: a stands in line 1 already"));
}

TEST_CASE("a file that cannot be read is refused with the system's reason") {
    CHECK_THAT(read_config_file("/no/such/file.toml").failure().what, Contains("/no/such/file.toml cannot be read: No such file or directory"));
    CHECK_THAT(read_config_file("/tmp").failure().what, Contains("/tmp cannot be read: it is a directory"));
    CHECK(read_config_file("/dev/null").value().empty());
}

}  // namespace millrace
