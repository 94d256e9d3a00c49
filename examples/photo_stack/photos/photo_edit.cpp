#include "examples/photo_stack/photos/photo_edit.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>

namespace photo_stack {

namespace json = boost::json;

namespace {

int number(const json::object& o, const char* name) { return json::value_to<int>(o.at(name)); }

int number_or_none(const json::object& o, const char* name) { return o.contains(name) ? number(o, name) : 0; }

}  // namespace

json::object json_of(const photo_edit& edit) {
    json::object out;
    if (edit.crop) out["crop"] = {{"left", edit.crop->left}, {"top", edit.crop->top}, {"width", edit.crop->width}, {"height", edit.crop->height}};
    if (edit.blur > 0) out["blur"] = edit.blur;
    if (edit.sharpen > 0) out["sharpen"] = edit.sharpen;
    return out;
}

std::string text_of(const photo_edit& edit) { return json::serialize(json_of(edit)); }

photo_edit edit_from(const json::object& object) {
    photo_edit edit{.blur = number_or_none(object, "blur"), .sharpen = number_or_none(object, "sharpen")};
    if (!object.contains("crop")) return edit;
    const auto& crop = object.at("crop").as_object();
    edit.crop = photos::rectangle{number(crop, "left"), number(crop, "top"), number(crop, "width"), number(crop, "height")};
    return edit;
}

photo_edit edit_from_text(const std::string& text) { return edit_from(json::parse(text).as_object()); }

}  // namespace photo_stack
