// What is sent as it is: the style sheet, the script, the document of the API. A file's path below the folder is its address.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "examples/photo_stack/web/routes.hpp"

namespace photo_web {

/// One thread; outlives the routes that it adds.
class static_files {
public:
    /// All files of the folder, read once. Throws std::runtime_error when one cannot be read, or is of a kind that has no media type here.
    explicit static_files(const std::filesystem::path& folder);

    void add_to(route_table& routes) const;

private:
    std::map<std::string, response> answers_;  // by address
};

}  // namespace photo_web
