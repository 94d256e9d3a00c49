#include "client/token_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace millrace::client {

result<std::string> read_token_file(const std::string& path) {
    constexpr std::size_t bytes_max = 4096;
    constexpr const char* blanks = " \t\r\n";
    const auto refused = [&](const std::string& why) { return error{errc::invalid_argument, "the token file " + path + " " + why}; };
    std::ifstream file(path, std::ios::binary);
    if (!file) return refused(std::string("cannot be read: ") + std::strerror(errno));
    std::string text(bytes_max + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) return refused(std::string("cannot be read: ") + std::strerror(errno));
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > bytes_max) return refused("is longer than " + std::to_string(bytes_max) + " bytes: it has one token on one line");
    const auto begin = text.find_first_not_of(blanks);
    if (begin == std::string::npos) return refused("is empty");
    text = text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
    if (text.find_first_of(blanks) != std::string::npos) return refused("has more than one word: it has one token on one line");
    return text;
}

}  // namespace millrace::client
