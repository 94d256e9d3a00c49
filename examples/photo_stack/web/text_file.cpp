#include "examples/photo_stack/web/text_file.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace photo_web {

std::string read_text_file(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(in), {}};
    if (!in) throw std::runtime_error("cannot read " + file.string());
    return content;
}

}  // namespace photo_web
