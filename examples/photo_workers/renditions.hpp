// From one photograph to the files a web page shows: what is made, how it is made, and how a result is checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace photos {

/// The file can never be made into renditions: it is no photograph, or a damaged one. Trying again is of no use.
struct unusable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct rendition {
    std::string kind;              // thumbnail, square, large, placeholder
    std::filesystem::path file;    // .jpg or .webp
    int width = 0;                 // pixels, upright
    int height = 0;

    bool operator==(const rendition&) const = default;
};

/// In pixels of the photo, upright.
struct rectangle {
    int left = 0, top = 0, width = 0, height = 0;

    bool operator==(const rectangle&) const = default;
};

/// What is done to the photo before its renditions are made: in this order.
struct edit {
    std::optional<rectangle> crop{};
    int blur = 0;     // 1 … 10, in pixels of the largest rendition; 0: not at all
    int sharpen = 0;  // 1 … 10

    bool operator==(const edit&) const = default;
};

/// Starts libvips for this process with one thread per image, and blocks loaders that are not safe with files from strangers. Call once in main().
void start_imaging(const char* program);

/// Makes every rendition of `photo` in `directory`, as STEM-HASH-KIND.jpg and .webp: upright as its EXIF orientation says, without metadata.
/// The same photo and edit give the same files, so doing it twice does no harm; each file appears whole or not at all. Throws unusable, or
/// std::runtime_error when the disk or memory fails. Thread-safe.
std::vector<rendition> make_renditions(const std::filesystem::path& photo, const std::filesystem::path& directory, const edit& wanted = {});

/// How many make_renditions() makes, and what each is: "thumbnail.jpg".
std::size_t renditions_of_a_photo() noexcept;
std::vector<std::string> rendition_names();

/// Decodes every file of `results` and compares it with `photo`: kinds and formats complete, dimensions as expected, upright (the picture itself is
/// compared, small), no metadata left. Returns what is wrong, one sentence each; empty when all is well.
std::vector<std::string> check_renditions(const std::filesystem::path& photo, const std::vector<rendition>& results);

}  // namespace photos
