#include <catch2/catch.hpp>

#include "examples/photo_stack/web/parsing/image_kind.hpp"

using namespace photo_web;
using namespace std::string_view_literals;

TEST_CASE("a photo is known by its first bytes") {
    CHECK(image_kind_of("\xff\xd8\xff\xe0..JFIF..."sv)->extension == "jpg"sv);
    CHECK(image_kind_of("\x89PNG\r\n\x1a\n\0\0\0\rIHDR"sv)->extension == "png"sv);
    CHECK(image_kind_of("RIFF\1\2\3\4WEBPVP8 "sv)->media_type == "image/webp"sv);
}

TEST_CASE("what is no photo of ours is nothing, whatever it is called") {
    CHECK_FALSE(image_kind_of(""));
    CHECK_FALSE(image_kind_of("\xff\xd8"sv));
    CHECK_FALSE(image_kind_of("RIFF\1\2\3\4WAVEfmt "sv));
    CHECK_FALSE(image_kind_of("GIF89a......"sv));
    CHECK_FALSE(image_kind_of("<svg xmlns='http://www.w3.org/2000/svg'/>"sv));
    CHECK_FALSE(image_kind_of("%PDF-1.7....."sv));
    CHECK_FALSE(image_kind_of("push graphic-context"sv));
}

TEST_CASE("the type of a file of ours") {
    CHECK(media_type_of("square.webp") == "image/webp"sv);
    CHECK(media_type_of("original.jpg") == "image/jpeg"sv);
    CHECK(media_type_of("original") == "application/octet-stream"sv);
    CHECK(media_type_of("x.html") == "application/octet-stream"sv);
}
