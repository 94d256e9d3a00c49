#include "examples/photo_stack/photos/draft.hpp"

#include <stdlib.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace photo_stack {

namespace fs = std::filesystem;

draft::draft(const fs::path& beside) {
    fs::create_directories(beside);
    std::string name = beside / "draft-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), name);
    folder_ = name;
}

draft::~draft() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

}  // namespace photo_stack
