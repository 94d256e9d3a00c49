#include <catch2/catch.hpp>
#include <stdexcept>
#include <vector>

#include "examples/photo_stack/photos/photo_messages.hpp"

using photo_stack::size_result;
using photo_stack::store_repair;
using photo_stack::uploaded_photo;

TEST_CASE("an uploaded photo is read as it was written") {
    const uploaded_photo sent{.photo = 9'007'199'254'740'993, .version = 2, .original = "original.jpg", .owner = "ann", .title = "a \"dune\"\n, öde",
                              .edit = {.crop = photos::rectangle{1, 2, 3, 4}, .blur = 5, .sharpen = 6}};
    const auto read = uploaded_photo::from_text(sent.to_text());
    CHECK(read.photo == sent.photo);
    CHECK(read.version == 2);
    CHECK(read.original == sent.original);
    CHECK(read.owner == sent.owner);
    CHECK(read.title == sent.title);
    CHECK(read.edit == sent.edit);
}

TEST_CASE("an edit has one text, without what is not done") {
    using photo_stack::text_of;
    CHECK(text_of({}) == "{}");
    CHECK(text_of({.blur = 2}) == R"({"blur":2})");
    CHECK(text_of({.crop = photos::rectangle{0, 1, 20, 10}, .sharpen = 3}) == R"({"crop":{"left":0,"top":1,"width":20,"height":10},"sharpen":3})");
    for (const auto& edit : std::vector<photo_stack::photo_edit>{{}, {.blur = 1}, {.crop = photos::rectangle{0, 0, 1, 1}, .sharpen = 10}})
        CHECK(photo_stack::edit_from_text(text_of(edit)) == edit);
    CHECK_THROWS_AS(photo_stack::edit_from_text(R"({"crop":{"left":0}})"), std::exception);
}

TEST_CASE("a size is read as it was written") {
    const size_result sent{.photo = 12, .version = 1, .size = {"v1-large.jpg", 1280, 720, 98'765}, .sizes = 8};
    const auto read = size_result::from_text(sent.to_text());
    CHECK(read.photo == 12);
    CHECK(read.size.file == "v1-large.jpg");
    CHECK(read.size.width == 1280);
    CHECK(read.size.height == 720);
    CHECK(read.size.bytes == 98'765);
    CHECK(read.sizes == 8);
    CHECK(read.fault.empty());
    CHECK_FALSE(read.uneven);
}

TEST_CASE("a size that an object store lacks is read as it was written") {
    const size_result sent{.photo = 12, .version = 1, .size = {"v1-large.jpg", 1280, 720, 98'765}, .sizes = 8, .uneven = true};
    CHECK(size_result::from_text(sent.to_text()).uneven);
}

TEST_CASE("an order for the storekeeper is read as it was written, and as the database writes it") {
    const auto read = store_repair::from_text(store_repair{.photo = 12, .files = {"v1-large.jpg", "v1-large.webp"}}.to_text());
    CHECK(read.photo == 12);
    CHECK(read.files == std::vector<std::string>{"v1-large.jpg", "v1-large.webp"});
    CHECK(read.version == 0);
    CHECK(store_repair::from_text(store_repair{.photo = 12, .version = 3}.to_text()).version == 3);
    CHECK(store_repair::from_text(R"({"photo" : 12, "files" : [], "version" : 0})").files.empty());
}

TEST_CASE("a fault comes instead of a size") {
    const auto read = size_result::from_text(size_result{.photo = 12, .version = 1, .fault = "cut off"}.to_text());
    CHECK(read.fault == "cut off");
    CHECK(read.size.file.empty());
}

TEST_CASE("what is no message of ours is said to be none") {
    for (const auto* text : {"", "{", "[]", "12", "{}", R"({"photo": "12", "version": 1})", R"({"photo": 12})", R"({"photo": 12, "version": 1, "size": 3, "sizes": 8})",
                             R"({"photo": 12, "version": 99999999999, "fault": "x"})", R"({"photo": 12, "version": 1, "size": {"file": "a"}, "sizes": -1})"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(size_result::from_text(text), std::runtime_error);
        CHECK_THROWS_AS(uploaded_photo::from_text(text), std::runtime_error);
        CHECK_THROWS_AS(store_repair::from_text(text), std::runtime_error);
    }
}
