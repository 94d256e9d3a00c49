#include "examples/photo_stack/web/photo_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>

namespace photo_web {

namespace json = boost::json;

namespace {

json::value value_from_photo(const photo_row& p) {
    json::array sizes;
    for (const auto& s : p.sizes) sizes.push_back({s.file, s.width, s.height, s.bytes});
    return {{"id", p.id},           {"user_id", p.user_id},       {"user_name", p.user_name},       {"title", p.title},     {"original", p.original},
            {"bytes", p.bytes},     {"width", p.width},           {"height", p.height},             {"version", p.version}, {"sizes", std::move(sizes)},
            {"created_at", p.created_at}, {"created_us", p.created_us}, {"stored_bytes", p.stored_bytes}, {"in_work", p.in_work}, {"fault", p.fault},     {"square", p.square}};
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
                .version = v.at("version").to_number<int>(),
                .sizes = {},
                .created_at = text("created_at"),
                .created_us = v.at("created_us").to_number<std::int64_t>(),
                .stored_bytes = v.at("stored_bytes").to_number<std::int64_t>(),
                .in_work = v.at("in_work").as_bool(),
                .fault = text("fault"),
                .square = text("square")};
    for (const auto& s : v.at("sizes").as_array())
        p.sizes.push_back({json::value_to<std::string>(s.at(0)), s.at(1).to_number<int>(), s.at(2).to_number<int>(), s.at(3).to_number<std::int64_t>()});
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
