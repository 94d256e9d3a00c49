#pragma once

#include "examples/photo_stack/web/visit.hpp"

namespace photo_web {

/// The body of a form, urlencoded or multipart. Throws refusal when it is neither, or broken.
sent_form read_form(const std::string& content_type, const std::string& body);

}  // namespace photo_web
