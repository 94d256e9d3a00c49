// Where the bytes of photos are: originals and renditions, by photo and file name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace photo_web {

/// Called on threads of a work_pool. Everything throws std::runtime_error, or what std::filesystem throws, when the disk does not do as it should.
class photo_files {
public:
    virtual ~photo_files() = default;

    /// An empty folder to make a photo's files in.
    virtual std::filesystem::path new_draft(std::int64_t photo) = 0;

    /// Takes a draft's files over: all of them, and on disk when this returns. REQUIRES: the photo has no files yet.
    virtual void keep(std::int64_t photo, const std::filesystem::path& draft) = 0;

    /// What is left of a draft that is not kept.
    virtual void drop_draft(const std::filesystem::path& draft) noexcept = 0;

    virtual std::optional<std::string> read(std::int64_t photo, const std::string& file_name) = 0;

    /// All files of the photo; none is no error.
    virtual void remove(std::int64_t photo) = 0;

    /// Throws when files cannot be read or written now.
    virtual void check() = 0;
};

/// Below one folder: drafts in DIRECTORY/drafts, a photo in DIRECTORY/kept/THOUSANDS/ID. Several servers may share it: numbers are unique, and a photo
/// appears with one rename.
std::unique_ptr<photo_files> directory_photo_files(const std::filesystem::path& directory);

}  // namespace photo_web
