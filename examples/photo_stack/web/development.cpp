#include "examples/photo_stack/web/development.hpp"

#include <vips/vips8>

#include <fstream>
#include <tuple>
#include <utility>

#include "examples/photo_stack/web/parsing/image_kind.hpp"
#include "examples/photo_stack/web/refusal.hpp"
#include "examples/photo_workers/renditions.hpp"

namespace photo_web {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& file, const std::string& content) {
    std::ofstream out(file, std::ios::binary);
    if (!out.write(content.data(), static_cast<std::streamsize>(content.size())).flush()) throw std::runtime_error("cannot write " + file.string());
}

/// Width and height as it will be shown; only its head is read.
std::pair<int, int> dimensions_of(const fs::path& file) {
    try {
        const auto image = vips::VImage::new_from_file(file.c_str());
        const bool turned = image.get_typeof("orientation") != 0 && image.get_int("orientation") >= 5;
        return turned ? std::pair(image.height(), image.width()) : std::pair(image.width(), image.height());
    } catch (const vips::VError&) {
        vips_error_clear();
        throw refusal(422, "not_a_photo", "The file is not a photograph that can be read.");
    }
}

}  // namespace

photo_row develop(const std::string& content, const fs::path& draft, std::int64_t pixels_max) {
    const auto kind = image_kind_of(content);
    if (!kind) throw refusal(415, "not_a_photo", "The file is not a JPEG, PNG or WebP photograph.");
    photo_row photo;
    photo.original = std::string("original.") + kind->extension;
    photo.bytes = static_cast<std::int64_t>(content.size());
    const auto original = draft / photo.original;
    write_file(original, content);
    std::tie(photo.width, photo.height) = dimensions_of(original);
    if (std::int64_t{photo.width} * photo.height > pixels_max)
        throw refusal(413, "too_many_pixels", "The photo has more than " + std::to_string(pixels_max / 1'000'000) + " million pixels.");
    return photo;
}

void add_sizes(photo_row& photo, const fs::path& draft) {
    try {
        photo.shown.sizes = photo_stack::make_sizes(draft / photo.original, draft, photo.shown.number);
    } catch (const photos::unusable&) {
        throw refusal(422, "damaged_photo", "The photo is damaged: it cannot be read to its end.");
    }
}

}  // namespace photo_web
