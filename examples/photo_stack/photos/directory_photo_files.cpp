#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>

#include "examples/photo_stack/photos/photo_files.hpp"

namespace photo_stack {
namespace {

namespace fs = std::filesystem;

/// The content of a file, or the names in a folder, past every cache of the system.
void sync(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) throw std::system_error(errno, std::generic_category(), path.string());
    const int failed = ::fsync(descriptor) == 0 ? 0 : errno;
    ::close(descriptor);
    if (failed != 0) throw std::system_error(failed, std::generic_category(), "fsync of " + path.string());
}

class directory final : public photo_files {
public:
    explicit directory(const fs::path& root) : kept_(root / "kept") { fs::create_directories(kept_); }

    bool keep(std::int64_t photo, const fs::path& draft) override {
        const auto place = place_of(photo);
        if (fs::create_directory(place.parent_path())) sync(kept_);
        if (fs::create_directory(place)) sync(place.parent_path());
        for (const auto& entry : fs::directory_iterator(draft)) {
            sync(entry.path());
            fs::rename(entry.path(), place / entry.path().filename());
        }
        sync(place);
        return true;
    }

    std::optional<std::string> read(std::int64_t photo, const std::string& file_name) override {
        if (file_name.find('/') != std::string::npos || file_name.starts_with('.')) return std::nullopt;
        std::ifstream in(place_of(photo) / file_name, std::ios::binary);
        if (!in) return std::nullopt;
        return std::string{std::istreambuf_iterator<char>(in), {}};
    }

    bool remove(std::int64_t photo) override {
        fs::remove_all(place_of(photo));
        return true;
    }

    bool remove(std::int64_t photo, const std::string& file_name) override {
        fs::remove(place_of(photo) / file_name);
        return true;
    }

    void check() override {
        if (::access(kept_.c_str(), R_OK | W_OK | X_OK) != 0) throw std::system_error(errno, std::generic_category(), kept_.string());
    }

private:
    /// A thousand photos a folder: there are tools that do not like a million. A photo's number ends with its bucket, one of 256.
    static constexpr std::int64_t photos_a_folder = 256'000;

    fs::path place_of(std::int64_t photo) const { return kept_ / std::to_string(photo / photos_a_folder) / std::to_string(photo); }

    fs::path kept_;
};

}  // namespace

std::unique_ptr<photo_files> directory_photo_files(const fs::path& where) { return std::make_unique<directory>(where); }

}  // namespace photo_stack
