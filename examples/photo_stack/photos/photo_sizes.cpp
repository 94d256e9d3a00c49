#include "examples/photo_stack/photos/photo_sizes.hpp"

namespace photo_stack {

namespace fs = std::filesystem;

std::string file_of_size(int version, const std::string& kind, const std::string& extension) { return "v" + std::to_string(version) + "-" + kind + extension; }

std::string kind_of_size(const std::string& file) {
    const auto begin = file.find('-') + 1;
    return file.substr(begin, file.find('.') - begin);
}

std::vector<std::string> files_of_version(int version) {
    std::vector<std::string> files;
    for (const auto& name : photos::rendition_names()) files.push_back(file_of_size(version, name, ""));
    return files;
}

std::vector<photo_size> make_sizes(const fs::path& original, const fs::path& folder, int version, const photos::edit& edit) {
    std::vector<photo_size> sizes;
    for (const auto& r : photos::make_renditions(original, folder, edit)) {
        sizes.push_back({file_of_size(version, r.kind, r.file.extension()), r.width, r.height, static_cast<std::int64_t>(fs::file_size(r.file))});
        fs::rename(r.file, folder / sizes.back().file);
    }
    return sizes;
}

}  // namespace photo_stack
