// What stands on the page of a photo.
#pragma once

#include <string>
#include <vector>

#include "examples/photo_stack/web/html_template.hpp"
#include "examples/photo_stack/web/parsing/url.hpp"
#include "examples/photo_stack/web/photo_catalog.hpp"
#include "examples/photo_stack/web/photo_links.hpp"

namespace photo_web {

/// `own`: for its owner, with the form for edits. That has the fields as they were `sent`, and says why they were refused.
page_data photo_page_data(const photo_row& photo, bool own, const photo_links& links, const fields& sent, const std::string& fault);

/// A list for a template: the sentence, or nothing.
std::vector<page_data> shown_fault(const std::string& fault);

}  // namespace photo_web
