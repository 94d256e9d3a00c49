// Where the bytes of photos are: originals and sizes, by photo and file name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace photo_stack {

/// Nobody who should have the files answers now; trying again later is of use.
struct photos_unavailable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Thread-safe, and waits. Everything throws photos_unavailable, or what std::filesystem throws, when the place does not do as it should.
class photo_files {
public:
    virtual ~photo_files() = default;

    /// Takes a folder's files over, to those that the photo has: each appears whole, and all are there when this returns. They may be the same again.
    /// Whether they are in all places; if not, they are in one, and somebody has to be told, who sees to it that the others get them.
    [[nodiscard]] virtual bool keep(std::int64_t photo, const std::filesystem::path& draft) = 0;

    virtual std::optional<std::string> read(std::int64_t photo, const std::string& file_name) = 0;

    /// All files of the photo; none is no error. Whether they are gone everywhere.
    virtual bool remove(std::int64_t photo) = 0;

    /// One of them.
    virtual bool remove(std::int64_t photo, const std::string& file_name) = 0;

    /// Throws when files cannot be read or written now.
    virtual void check() = 0;
};

/// Below one folder: a photo in DIRECTORY/kept/THOUSANDS/ID. Several servers may share it, as numbers are unique. REQUIRES: drafts are on its file system.
std::unique_ptr<photo_files> directory_photo_files(const std::filesystem::path& directory);

}  // namespace photo_stack
