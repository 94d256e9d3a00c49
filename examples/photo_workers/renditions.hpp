// From one photograph to the files a web page shows: what is made, how it is made, and how a result is checked.
#pragma once

#include <cstdint>
#include <filesystem>
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

/// Starts libvips for this process with one thread per image, and blocks loaders that are not safe with files from strangers. Call once in main().
void start_imaging(const char* program);

/// Makes every rendition of `photo` in `directory`, as STEM-HASH-KIND.jpg and .webp: upright as its EXIF orientation says, without metadata.
/// The same photo gives the same files, so doing it twice does no harm; each file appears whole or not at all. Throws unusable, or
/// std::runtime_error when the disk or memory fails. Thread-safe.
std::vector<rendition> make_renditions(const std::filesystem::path& photo, const std::filesystem::path& directory);

/// How many make_renditions() makes.
std::size_t renditions_of_a_photo() noexcept;

/// Decodes every file of `results` and compares it with `photo`: kinds and formats complete, dimensions as expected, upright (the picture itself is
/// compared, small), no metadata left. Returns what is wrong, one sentence each; empty when all is well.
std::vector<std::string> check_renditions(const std::filesystem::path& photo, const std::vector<rendition>& results);

}  // namespace photos
