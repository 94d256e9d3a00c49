// From a photo's original to the files of one of its versions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/photo_edit.hpp"
#include "examples/photo_stack/photos/photo_files.hpp"
#include "examples/photo_stack/photos/photo_sizes.hpp"

namespace photo_stack {

struct made_version {
    std::vector<photo_size> sizes;
    bool uneven = false;  // an object store lacks some of their files
};

/// Makes the sizes in a folder below `drafts`, and keeps them. Nothing when there is no original: the photo was deleted. Throws photos::unusable when that is
/// damaged, and what photo_files throws. Thread-safe. REQUIRES: photos::start_imaging() was called.
std::optional<made_version> make_version(photo_files& files, const std::filesystem::path& drafts, std::int64_t photo, const std::string& original, int version,
                                         const photo_edit& edit);

}  // namespace photo_stack
