#pragma once

#include <filesystem>
#include <string>

namespace photo_web {

/// All of it. Throws std::runtime_error when it cannot be read.
std::string read_text_file(const std::filesystem::path& file);

}  // namespace photo_web
