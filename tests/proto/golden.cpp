#include "golden.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <catch2/catch.hpp>

namespace millrace::proto::golden {

std::string path_of(const std::string& name) { return std::string(MILLRACE_TEST_DATA "/golden/") + name; }

bool rewriting() {
    const char* wanted = std::getenv("MILLRACE_REWRITE_GOLDEN");
    return wanted != nullptr && std::string(wanted) == "1";
}

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    INFO(path << " is not there; MILLRACE_REWRITE_GOLDEN=1 writes it");
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream file(path, std::ios::binary);
    file << text;
    REQUIRE(file.flush());
}

std::vector<std::byte> read(const std::string& name) {
    const auto text = read_text(path_of(name));
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    return {bytes, bytes + text.size()};
}

void rewrite(const std::string& name, const std::vector<std::byte>& bytes) {
    if (rewriting()) write_text(path_of(name), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void require_same(const std::string& name, const std::vector<std::byte>& bytes) {
    rewrite(name, bytes);
    INFO(name);
    REQUIRE(read(name) == bytes);
}

}  // namespace millrace::proto::golden
