// One uploaded file made into a photo's files: the darkroom.
#pragma once

#include <cstdint>
#include <filesystem>

#include "examples/photo_stack/web/photo_catalog.hpp"

namespace photo_web {

/// Writes `content` as original.EXTENSION into the folder `draft`. What its head tells of it: kind and dimensions. Throws refusal when it is no photograph,
/// or larger than `pixels_max`. Thread-safe. REQUIRES: photos::start_imaging() was called.
photo_row develop(const std::string& content, const std::filesystem::path& draft, std::int64_t pixels_max);

/// Reads it to its end, and writes its sizes beside it. Throws refusal when it is damaged.
void add_sizes(photo_row& photo, const std::filesystem::path& draft);

}  // namespace photo_web
