// Where the bytes of photos are: originals and sizes, by photo and file name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace photo_stack {

/// Thread-safe, and waits. Everything throws std::runtime_error, or what std::filesystem throws, when the place does not do as it should.
class photo_files {
public:
    virtual ~photo_files() = default;

    /// Takes a folder's files over, to those that the photo has: each appears whole, and all are on disk when this returns. They may be the same again.
    virtual void keep(std::int64_t photo, const std::filesystem::path& draft) = 0;

    virtual std::optional<std::string> read(std::int64_t photo, const std::string& file_name) = 0;

    /// All files of the photo; none is no error.
    virtual void remove(std::int64_t photo) = 0;

    /// Throws when files cannot be read or written now.
    virtual void check() = 0;
};

/// Below one folder: a photo in DIRECTORY/kept/THOUSANDS/ID. Several servers may share it, as numbers are unique. REQUIRES: drafts are on its file system.
std::unique_ptr<photo_files> directory_photo_files(const std::filesystem::path& directory);

}  // namespace photo_stack
