#include "examples/photo_stack/web/edit_request.hpp"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <limits>
#include <optional>

#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

namespace json = boost::json;
using photo_stack::photo_edit;

namespace {

constexpr const char* crop_names[] = {"left", "top", "width", "height"};

refusal no_such_body() {
    return {400, "bad_request",
            "The body is a JSON object with 'crop', an object of the whole numbers 'left', 'top', 'width' and 'height', and with the whole numbers 'blur' and 'sharpen', "
            "or without any of them."};
}

int strength(std::int64_t number, const std::string& name) {
    if (number < 0 || number > photo_stack::edit_strength_max)
        throw refusal(422, "invalid_strength", "'" + name + "' is from 0 to " + std::to_string(photo_stack::edit_strength_max) + ", and not " + std::to_string(number) + ".");
    return static_cast<int>(number);
}

/// Where it is in the photo is looked at later.
int pixels(std::int64_t number) {
    if (number < 0 || number > std::numeric_limits<int>::max()) throw refusal(422, "invalid_crop", "The photo has no pixel " + std::to_string(number) + ".");
    return static_cast<int>(number);
}

std::int64_t number_in(const json::value& value) {
    if (!value.is_int64()) throw no_such_body();
    return value.get_int64();
}

photos::rectangle crop_in(const json::value& value) {
    const auto* crop = value.if_object();
    if (crop == nullptr || crop->size() != std::size(crop_names)) throw no_such_body();
    std::array<int, std::size(crop_names)> numbers{};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto* number = crop->if_contains(crop_names[i]);
        if (number == nullptr) throw no_such_body();
        numbers[i] = pixels(number_in(*number));
    }
    return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

/// What a field holds; nothing when it is missing or empty.
std::optional<std::int64_t> number_in(const fields& form, const std::string& name, const char* code) {
    const auto text = find_field(form, name).value_or("");
    if (text.empty()) return std::nullopt;
    std::int64_t number = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc() || end != text.data() + text.size()) throw refusal(422, code, "'" + name + "' is a whole number.");
    return number;
}

}  // namespace

photo_edit edit_from_json_body(const std::string& body) {
    json::error_code ec;
    const auto value = json::parse(body, ec);
    const auto* object = ec ? nullptr : value.if_object();
    if (object == nullptr) throw no_such_body();
    photo_edit edit;
    for (const auto& [name, part] : *object) {
        if (name == "crop") edit.crop = crop_in(part);
        else if (name == "blur") edit.blur = strength(number_in(part), "blur");
        else if (name == "sharpen") edit.sharpen = strength(number_in(part), "sharpen");
        else throw no_such_body();
    }
    return edit;
}

photo_edit edit_from_form(const fields& form) {
    photo_edit edit{.blur = strength(number_in(form, "blur", "invalid_strength").value_or(0), "blur"),
                    .sharpen = strength(number_in(form, "sharpen", "invalid_strength").value_or(0), "sharpen")};
    std::array<std::optional<std::int64_t>, std::size(crop_names)> crop;
    std::transform(std::begin(crop_names), std::end(crop_names), crop.begin(), [&](const char* name) { return number_in(form, name, "invalid_crop"); });
    const auto given = std::count_if(crop.begin(), crop.end(), [](const auto& number) { return number.has_value(); });
    if (given == 0) return edit;
    if (given != std::ssize(crop)) throw refusal(422, "invalid_crop", "A rectangle has a left and a top, a width and a height.");
    edit.crop = photos::rectangle{pixels(*crop[0]), pixels(*crop[1]), pixels(*crop[2]), pixels(*crop[3])};
    return edit;
}

photo_edit fitting(photo_edit edit, int width, int height) {
    if (!edit.crop) return edit;
    const auto& c = *edit.crop;
    if (c.width < 1 || c.height < 1 || c.width > width || c.height > height || c.left > width - c.width || c.top > height - c.height)
        throw refusal(422, "invalid_crop",
                      "The photo has " + std::to_string(width) + " × " + std::to_string(height) + " pixels, and no rectangle of " + std::to_string(c.width) + " × " +
                          std::to_string(c.height) + " at " + std::to_string(c.left) + ", " + std::to_string(c.top) + ".");
    if (c.width == width && c.height == height) edit.crop.reset();
    return edit;
}

}  // namespace photo_web
