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
    json::array renditions;
    for (const auto& r : p.renditions) renditions.push_back({r.file, r.width, r.height});
    return {{"id", p.id},       {"user_id", p.user_id}, {"user_name", p.user_name}, {"title", p.title},           {"original", p.original},
            {"bytes", p.bytes}, {"width", p.width},     {"height", p.height},       {"created_at", p.created_at}, {"renditions", std::move(renditions)}};
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
                .created_at = text("created_at"),
                .renditions = {}};
    for (const auto& r : v.at("renditions").as_array())
        p.renditions.push_back({json::value_to<std::string>(r.at(0)), r.at(1).to_number<int>(), r.at(2).to_number<int>()});
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
