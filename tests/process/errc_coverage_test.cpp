// No error code without a test: each one of error.hpp is named in some test.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& file) {
    std::ostringstream out;
    out << std::ifstream(file).rdbuf();
    return out.str();
}

std::vector<std::string> codes() {
    const auto header = content_of(fs::path(MILLRACE_SOURCE_DIR) / "include/millrace/error.hpp");
    const auto begin = header.find("enum class errc");
    const auto body = header.substr(begin, header.find("};", begin) - begin);
    const std::regex code(R"(\n +([a-z_]+) = \d+)");
    std::vector<std::string> all;
    for (std::sregex_iterator it(body.begin(), body.end(), code), end; it != end; ++it) all.push_back((*it)[1]);
    return all;
}

/// A test names a code as errc::code, or in the text that a program or a transcript is expected to print.
bool names(const std::string& text, const std::string& code, bool transcript) {
    const auto before = transcript ? std::string("\\b") : std::string("(errc::|\")");
    return std::regex_search(text, std::regex(before + code + "\\b"));
}

}  // namespace

TEST_CASE("every error code is met in a test") {
    std::vector<std::pair<bool, std::string>> tests;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(MILLRACE_SOURCE_DIR) / "tests")) {
        const auto name = entry.path().filename().string();
        const auto type = entry.path().extension();
        if (name == "error_test.cpp") continue;  // about their names alone
        if (type == ".cpp" || type == ".hpp" || type == ".txt") tests.emplace_back(type == ".txt", content_of(entry.path()));
    }
    const auto all = codes();
    REQUIRE(all.size() > 30);
    for (const auto& code : all) {
        if (code == "ok") continue;
        CAPTURE(code);
        CHECK(std::any_of(tests.begin(), tests.end(), [&](const auto& t) { return names(t.second, code, t.first); }));
    }
}
