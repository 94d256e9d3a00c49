#include <catch2/catch.hpp>

#include "examples/photo_stack/web/parsing/multipart.hpp"

using namespace photo_web;

namespace {

const std::string two_parts =
    "--b\r\nContent-Disposition: form-data; name=\"form_token\"\r\n\r\nabc\r\n"
    "--b\r\ncontent-disposition: form-data; name=photos; filename=\"a \\\"b\\\".jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\r\n--x\r\n\r\n--b--\r\n";

}  // namespace

TEST_CASE("the boundary of a multipart form") {
    CHECK(multipart_boundary("multipart/form-data; boundary=abc") == "abc");
    CHECK(multipart_boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a'b:c\"") == "a'b:c");
    const auto refused = GENERATE(as<std::string>{}, "", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=abc", "text/plain; boundary=abc",
                                  "multipart/form-data; boundary=\"abc", "multipart/form-data; boundary=a\r\nb", "multipart/form-data; boundary=a b\"c");
    CAPTURE(refused);
    CHECK_FALSE(multipart_boundary(refused));
    CHECK_FALSE(multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'a')));
}

TEST_CASE("the parts of a form, whose content may look like a boundary") {
    const auto parts = parse_multipart(two_parts, "b");
    REQUIRE(parts);
    REQUIRE(parts->size() == 2);
    CHECK(parts->at(0).name == "form_token");
    CHECK_FALSE(parts->at(0).file_name);
    CHECK(parts->at(0).content == "abc");
    CHECK(parts->at(1).name == "photos");
    CHECK(parts->at(1).file_name == "a \"b\".jpg");
    CHECK(parts->at(1).content == "\xff\xd8\r\n--x\r\n");
    CHECK(parse_multipart("--b--\r\n", "b")->empty());
}

TEST_CASE("a form that was cut off anywhere is no form") {
    const auto whole = two_parts.substr(0, two_parts.size() - 2);  // the line end after the last boundary may be missing
    REQUIRE(parse_multipart(whole, "b"));
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CAPTURE(length);
        CHECK_FALSE(parse_multipart(whole.substr(0, length), "b"));
    }
}

TEST_CASE("a part without a name, or with two heads' worth of it, is refused") {
    const auto head = GENERATE(as<std::string>{}, "Content-Type: text/plain", "Content-Disposition: form-data", "Content-Disposition: attachment; name=a",
                               "Content-Disposition: form-data; name=\"a", "Content-Disposition: form-data name=a", "no colon",
                               "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b");
    CAPTURE(head);
    CHECK_FALSE(parse_multipart("--b\r\n" + head + "\r\n\r\nx\r\n--b--\r\n", "b"));
}

TEST_CASE("a form has so many parts, and heads so long, and no more") {
    const std::string part = "Content-Disposition: form-data; name=a\r\n\r\nx\r\n--b";
    std::string body = "--b";
    for (int i = 0; i < 32; ++i) body += "\r\n" + part;
    CHECK(parse_multipart(body + "--", "b"));
    CHECK_FALSE(parse_multipart(body + "\r\n" + part + "--", "b"));
    CHECK_FALSE(parse_multipart("--b\r\nX: " + std::string(4096, 'x') + "\r\n" + part + "--", "b"));
}
