// What an uploaded file is, by its first bytes: its name and the type its sender claims say nothing.
#pragma once

#include <optional>
#include <string_view>

namespace photo_web {

struct image_kind {
    const char* extension;  // "jpg"
    const char* media_type;
};

/// JPEG, PNG or WebP; nothing for all else.
std::optional<image_kind> image_kind_of(std::string_view bytes);

/// The media type of a file of ours, by the extension that we gave it; "application/octet-stream" when there is none.
const char* media_type_of(std::string_view file_name);

}  // namespace photo_web
