// The sizes of a photo that pages show, each a file whose name has the photo's version: what is under a name never changes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/photo_workers/renditions.hpp"

namespace photo_stack {

struct photo_size {
    std::string file;  // "v1-square.webp"
    int width = 0, height = 0;
    std::int64_t bytes = 0;
};

/// "v1-square.jpg"
std::string file_of_size(int version, const std::string& kind, const std::string& extension);

/// "large" of such a name.
std::string kind_of_size(const std::string& file);

/// All that a version has.
std::vector<std::string> files_of_version(int version);

/// Makes all sizes of the photo in the file `original`, edited, in `folder`. Throws photos::unusable when the photo is damaged, before anything is made, and
/// std::runtime_error when the disk or memory fails. Thread-safe. REQUIRES: photos::start_imaging() was called.
std::vector<photo_size> make_sizes(const std::filesystem::path& original, const std::filesystem::path& folder, int version, const photos::edit& edit = {});

}  // namespace photo_stack
