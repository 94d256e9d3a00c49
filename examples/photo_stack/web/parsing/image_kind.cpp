#include "examples/photo_stack/web/parsing/image_kind.hpp"

namespace photo_web {
namespace {

using namespace std::string_view_literals;

struct known_kind {
    image_kind kind;
    std::string_view start;
    std::string_view from_byte_8;  // a WebP is a RIFF file, and so is much else
};

constexpr known_kind known_kinds[] = {
    {{"jpg", "image/jpeg"}, "\xff\xd8\xff"sv, ""sv},
    {{"png", "image/png"}, "\x89PNG\r\n\x1a\n"sv, ""sv},
    {{"webp", "image/webp"}, "RIFF"sv, "WEBP"sv},
};

}  // namespace

std::optional<image_kind> image_kind_of(std::string_view bytes) {
    for (const auto& known : known_kinds)
        if (bytes.size() >= 12 && bytes.starts_with(known.start) && bytes.substr(8).starts_with(known.from_byte_8)) return known.kind;
    return std::nullopt;
}

const char* media_type_of(std::string_view file_name) {
    for (const auto& known : known_kinds)
        if (file_name.substr(file_name.rfind('.') + 1) == known.kind.extension) return known.kind.media_type;
    return "application/octet-stream";
}

}  // namespace photo_web
