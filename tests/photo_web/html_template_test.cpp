#include <catch2/catch.hpp>

#include "examples/photo_stack/web/html_template.hpp"

using namespace photo_web;

TEST_CASE("texts are escaped, for elements and attributes, unless they are HTML already") {
    const page_data data{.texts = {{"name", "<b>\"a\" & 'b'</b>"}}, .lists = {}};
    CHECK(render("<p title=\"{{name}}\">{{name}}</p>", data) ==
          "<p title=\"&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;\">&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;</p>");
    CHECK(render("{{{name}}}", data) == data.texts.at("name"));
}

TEST_CASE("a list is once for each row, which sees what is around it") {
    page_data data{.texts = {{"who", "ann"}}, .lists = {}};
    data.lists["photos"] = {{.texts = {{"id", "1"}}, .lists = {}}, {.texts = {{"id", "2"}}, .lists = {}}};
    CHECK(render("{{#photos}}{{who}}{{id}} {{/photos}}{{^photos}}none{{/photos}}", data) == "ann1 ann2 ");
    data.lists["photos"].clear();
    CHECK(render("{{#photos}}{{id}}{{/photos}}{{^photos}}none{{/photos}}", data) == "none");
    data.lists["own"] = shown_if(true);
    CHECK(render("{{#own}}mine{{/own}}", data) == "mine");
}

TEST_CASE("a page with holes is no page") {
    CHECK_THROWS(render("{{missing}}", {}));
    CHECK_THROWS(render("{{open", {}));
    CHECK_THROWS(render("{{#list}}", {}));
}

TEST_CASE("what a text holds is never taken for a tag") {
    const page_data data{.texts = {{"title", "{{secret}}"}, {"secret", "s"}}, .lists = {}};
    CHECK(render("{{title}}", data) == "{{secret}}");
}
