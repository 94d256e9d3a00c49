#include "examples/photo_stack/web/photo_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>

namespace photo_web {

namespace json = boost::json;

namespace {

json::value value_from_version(const photo_version& v) {
    json::array sizes;
    for (const auto& s : v.sizes) sizes.push_back({s.file, s.width, s.height, s.bytes});
    return {{"number", v.number}, {"edit", photo_stack::json_of(v.edit)}, {"sizes", std::move(sizes)}};
}

photo_version version_from_value(const json::value& v) {
    photo_version version{.number = v.at("number").to_number<int>(), .edit = photo_stack::edit_from(v.at("edit").as_object())};
    for (const auto& s : v.at("sizes").as_array())
        version.sizes.push_back({json::value_to<std::string>(s.at(0)), s.at(1).to_number<int>(), s.at(2).to_number<int>(), s.at(3).to_number<std::int64_t>()});
    return version;
}

json::value value_from_photo(const photo_row& p) {
    json::object out{{"id", p.id},           {"user_id", p.user_id}, {"user_name", p.user_name},   {"title", p.title},           {"original", p.original},
                     {"bytes", p.bytes},     {"width", p.width},     {"height", p.height},         {"shown", value_from_version(p.shown)}, {"created_at", p.created_at}, {"created_us", p.created_us},
                     {"stored_bytes", p.stored_bytes}, {"in_work", p.in_work}, {"fault", p.fault}, {"square", p.square}};
    if (p.coming) out["coming"] = value_from_version(*p.coming);
    return out;
}

photo_row photo_from_value(const json::value& v) {
    const auto text = [&v](const char* name) { return json::value_to<std::string>(v.at(name)); };
    photo_row p{.id = v.at("id").to_number<std::int64_t>(),
                .user_id = v.at("user_id").to_number<std::int64_t>(),
                .user_name = text("user_name"),
                .title = text("title"),
                .original = text("original"),
                .bytes = v.at("bytes").to_number<std::int64_t>(),
                .width = v.at("width").to_number<int>(),
                .height = v.at("height").to_number<int>(),
                .shown = version_from_value(v.at("shown")),
                .created_at = text("created_at"),
                .created_us = v.at("created_us").to_number<std::int64_t>(),
                .stored_bytes = v.at("stored_bytes").to_number<std::int64_t>(),
                .in_work = v.at("in_work").as_bool(),
                .coming = {},
                .fault = text("fault"),
                .square = text("square")};
    if (const auto* coming = v.as_object().if_contains("coming")) p.coming = version_from_value(*coming);
    return p;
}

}  // namespace

std::string text_from_photos(const std::vector<photo_row>& photos) {
    json::array out;
    for (const auto& p : photos) out.push_back(value_from_photo(p));
    return json::serialize(out);
}

std::vector<photo_row> photos_from_text(const std::string& text) {
    const auto parsed = json::parse(text);
    std::vector<photo_row> photos;
    for (const auto& v : parsed.as_array()) photos.push_back(photo_from_value(v));
    return photos;
}

}  // namespace photo_web
