#include <catch2/catch.hpp>

#include "examples/photo_stack/web/parsing/url.hpp"

using namespace photo_web;

TEST_CASE("percent decoding takes two hexadecimal digits, and nothing less") {
    CHECK(percent_decode("%41b%2f", false) == "Ab/");
    CHECK(percent_decode("a+b", true) == "a b");
    CHECK(percent_decode("a+b", false) == "a+b");
    CHECK_FALSE(percent_decode("%", false));
    CHECK_FALSE(percent_decode("%4", false));
    CHECK_FALSE(percent_decode("%4g", false));
}

TEST_CASE("a target is a path of decoded segments and a query") {
    const auto photo = parse_target("/photos/12?before=3&x=%20");
    REQUIRE(photo);
    CHECK(photo->segments == std::vector<std::string>{"photos", "12"});
    CHECK(find_field(photo->query, "before") == "3");
    CHECK(find_field(photo->query, "x") == " ");
    CHECK_FALSE(find_field(photo->query, "y"));
    CHECK(parse_target("/")->segments.empty());
}

TEST_CASE("a target that no page has is refused") {
    const auto target = GENERATE(as<std::string>{}, "", "*", "photos", "http://elsewhere/", "/a//b", "/../etc/passwd", "/media/1/..", "/media/1/%2e%2e", "/media/1/..%2fx",
                                 "/media/1/a%2fb", "/a%00b", "/a%0d%0ab", "/%zz", "/?a=%z");
    CAPTURE(target);
    CHECK_FALSE(parse_target(target));
    CHECK_FALSE(parse_target("/" + std::string(2048, 'a')));
}

TEST_CASE("an urlencoded form") {
    const auto form = parse_urlencoded("name=ann&password=a%26b+c&empty=&bare&&name=bob");
    REQUIRE(form);
    CHECK(*form == fields{{"name", "ann"}, {"password", "a&b c"}, {"empty", ""}, {"bare", ""}, {"name", "bob"}});
    CHECK(find_field(*form, "name") == "ann");
    CHECK_FALSE(parse_urlencoded("a=%f"));
    std::string many;
    for (int i = 0; i < 65; ++i) many += "a=1&";
    CHECK_FALSE(parse_urlencoded(many));
}
