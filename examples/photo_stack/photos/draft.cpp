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

void remove_old_drafts(const fs::path& beside, std::chrono::milliseconds age) {
    std::error_code ignored;  // others take theirs away meanwhile
    const auto before = fs::file_time_type::clock::now() - age;
    for (const auto& each : fs::directory_iterator(beside, ignored)) {
        const auto touched = fs::last_write_time(each, ignored);
        if (!ignored && touched < before) fs::remove_all(each, ignored);
    }
}

}  // namespace photo_stack
