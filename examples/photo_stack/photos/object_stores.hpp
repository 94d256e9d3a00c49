// Photos' files in object stores: HTTP servers that take an object by PUT, whole or not at all. What is in one is in all of them, as soon as they live.
//
//   /media/PHOTO/FILE     an object; its address never means other bytes
//   /media/PHOTO/         those of a photo: GET tells their names, DELETE removes them
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/http_peer.hpp"
#include "examples/photo_stack/photos/photo_files.hpp"

namespace photo_stack {

/// "/media/7/v1-square.jpg": in the stores, at the edges, and at the web servers.
std::string path_of_photo_file(std::int64_t photo, const std::string& file_name);

/// Who is away is passed over: it suffices that one store takes what is kept, or has what is read.
class object_stores final : public photo_files {
public:
    /// "http://ADDRESS:PORT" each; at least one, and the nearest one first: there is read. Throws std::invalid_argument.
    explicit object_stores(const std::vector<std::string>& addresses);

    bool keep(std::int64_t photo, const std::filesystem::path& draft) override;

    /// Throws also when a store that is away may be the only one that has the file.
    std::optional<std::string> read(std::int64_t photo, const std::string& file_name) override;

    bool remove(std::int64_t photo) override;
    bool remove(std::int64_t photo, const std::string& file_name) override;
    void check() override;

    /// Each gets what others have of the photo, and it has not. Throws when one of them is away.
    void even_out(std::int64_t photo);

private:
    bool remove_at(const std::string& target);

    std::deque<http_peer> stores_;
};

}  // namespace photo_stack
