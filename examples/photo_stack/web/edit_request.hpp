// What somebody asks to be done to a photo, read from a form or from JSON. Everything throws refusal with what is wrong.
#pragma once

#include <string>

#include "examples/photo_stack/photos/photo_edit.hpp"
#include "examples/photo_stack/web/parsing/url.hpp"

namespace photo_web {

/// {"crop": {"left": …, "top": …, "width": …, "height": …}, "blur": …, "sharpen": …}, of which each part may be missing.
photo_stack::photo_edit edit_from_json_body(const std::string& body);

/// Fields of the same names, all of the crop's or none; empty ones are as missing.
photo_stack::photo_edit edit_from_form(const fields& form);

/// The edit as it is kept: a rectangle that is all of the photo is none.
photo_stack::photo_edit fitting(photo_stack::photo_edit edit, int width, int height);

}  // namespace photo_web
