#include <catch2/catch.hpp>

#include "examples/photo_stack/web/parsing/text_rules.hpp"

using namespace photo_web;

TEST_CASE("user names") {
    CHECK_FALSE(fault_in_user_name("ann_12"));
    const auto refused = GENERATE(as<std::string>{}, "", "ab", "Ann", "ann smith", "ann'--", "<b>ann", "j\xc3\xb6rg", "0123456789012345678901234567890");
    CAPTURE(refused);
    CHECK(fault_in_user_name(refused));
}

TEST_CASE("passwords and idempotency keys have bounds") {
    CHECK_FALSE(fault_in_password("12345678"));
    CHECK(fault_in_password("1234567"));
    CHECK(fault_in_password(std::string(201, 'x')));
    CHECK_FALSE(fault_in_idempotency_key("a-1"));
    CHECK(fault_in_idempotency_key(""));
    CHECK(fault_in_idempotency_key("a b"));
    CHECK(fault_in_idempotency_key(std::string("a\0b", 3)));
    CHECK(fault_in_idempotency_key(std::string(101, 'x')));
}

TEST_CASE("a title is what a file's name shows, without its folders") {
    CHECK(title_from_file_name("dune.jpg") == "dune.jpg");
    CHECK(title_from_file_name("../../etc/passwd") == "passwd");
    CHECK(title_from_file_name("C:\\photos\\dune.jpg") == "dune.jpg");
    CHECK(title_from_file_name("D\xc3\xbcne.jpg") == "D\xc3\xbcne.jpg");
    CHECK(title_from_file_name("a\xff\x01\nb") == "ab");
    CHECK(title_from_file_name(std::string("a\0b", 3)) == "ab");
    CHECK(title_from_file_name("") == "untitled");
    CHECK(title_from_file_name(std::string(99, 'x') + "\xc3\xbc").size() == 99);  // not half a character
}

TEST_CASE("the number of a row") {
    CHECK(parse_id("12") == 12);
    CHECK(parse_id("9223372036854775807") == 9223372036854775807);
    const auto refused = GENERATE(as<std::string>{}, "", "0", "-1", "+1", " 1", "1 ", "1;drop table photos", "9223372036854775808", "0x10", "1e3");
    CAPTURE(refused);
    CHECK_FALSE(parse_id(refused));
}
