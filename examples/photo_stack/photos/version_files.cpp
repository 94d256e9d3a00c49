#include "examples/photo_stack/photos/version_files.hpp"

#include <fstream>
#include <stdexcept>

#include "examples/photo_stack/photos/draft.hpp"

namespace photo_stack {

namespace fs = std::filesystem;

namespace {

void write_file(const fs::path& file, const std::string& content) {
    std::ofstream out(file, std::ios::binary);
    if (!out.write(content.data(), static_cast<std::streamsize>(content.size())).flush()) throw std::runtime_error("cannot write " + file.string());
}

}  // namespace

std::optional<made_version> make_version(photo_files& files, const fs::path& drafts, std::int64_t photo, const std::string& original, int version,
                                         const photo_edit& edit) {
    const auto content = files.read(photo, original);
    if (!content) return std::nullopt;
    const draft taken(drafts), made(drafts);
    write_file(taken.folder() / original, *content);
    made_version out{.sizes = make_sizes(taken.folder() / original, made.folder(), version, edit)};
    out.uneven = !files.keep(photo, made.folder());
    return out;
}

}  // namespace photo_stack
