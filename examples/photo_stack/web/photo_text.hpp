// Photos' rows as a text, for the cache.
#pragma once

#include <string>
#include <vector>

#include "examples/photo_stack/web/photo_catalog.hpp"

namespace photo_web {

std::string text_from_photos(const std::vector<photo_row>& photos);

/// REQUIRES: made by text_from_photos.
std::vector<photo_row> photos_from_text(const std::string& text);

}  // namespace photo_web
