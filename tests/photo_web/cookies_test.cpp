#include <catch2/catch.hpp>

#include "examples/photo_stack/web/parsing/cookies.hpp"

using namespace photo_web;

TEST_CASE("a cookie is found by its whole name") {
    CHECK(find_cookie("session=abc", "session") == "abc");
    CHECK(find_cookie("a=1; session=abc; b=2", "session") == "abc");
    CHECK(find_cookie("a=1;session=x=y", "session") == "x=y");
    CHECK_FALSE(find_cookie("", "session"));
    CHECK_FALSE(find_cookie("xsession=abc; session", "session"));
}

TEST_CASE("two cookies of one name are none: one of them was planted") {
    CHECK_FALSE(find_cookie("session=mine; session=theirs", "session"));
    CHECK(find_cookie("session=mine; session=mine", "session") == "mine");
}

TEST_CASE("a cookie is out of reach of scripts and other sites") {
    CHECK(set_cookie("session", "abc", false) == "session=abc; Path=/; HttpOnly; SameSite=Lax");
    CHECK(set_cookie("session", "abc", true) == "session=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
    CHECK(set_cookie("session", "", true) == "session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure");
}
