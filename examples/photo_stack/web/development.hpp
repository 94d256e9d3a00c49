// One uploaded file made into a photo's files: the darkroom.
#pragma once

#include <cstdint>
#include <filesystem>

#include "examples/photo_stack/web/photo_catalog.hpp"

namespace photo_web {

/// Writes `content` as original.EXTENSION into the folder `draft`, and its renditions beside it as KIND.jpg and KIND.webp. What is told of it: file
/// names, size and dimensions. Throws refusal when it is no photograph, a damaged one, or larger than `pixels_max`. Thread-safe.
/// REQUIRES: photos::start_imaging() was called.
photo_row develop(const std::string& content, const std::filesystem::path& draft, std::int64_t pixels_max);

}  // namespace photo_web
