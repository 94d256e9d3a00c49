// Runs tests/core/transcripts/*.txt: commands, a line of dashes, what they are expected to do. MILLRACE_REWRITE_GOLDEN=1 writes what they do
// instead; read the difference before committing it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/core/stage.hpp"

namespace millrace::core::testing {
namespace {

/// Runs `text` and returns it with every expectation replaced by what happened.
std::string replay(const std::string& text) {
    stage shard;
    std::istringstream in(text);
    std::string out;
    std::string happened;
    auto in_expectation = false;
    for (std::string line; std::getline(in, line);) {
        if (in_expectation) {
            in_expectation = !line.empty();
            if (!in_expectation) out += "\n";
        } else if (line == "----") {
            out += "----\n" + std::exchange(happened, {});
            in_expectation = true;
        } else {
            out += line + "\n";
            if (!line.empty() && line.front() != '#') happened += shard.perform(line);
        }
    }
    return out;
}

std::string content_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST_CASE("every transcript does what it says") {
    std::vector<std::filesystem::path> files;
    for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(MILLRACE_TEST_DATA) / "transcripts")) files.push_back(file.path());
    std::sort(files.begin(), files.end());
    REQUIRE(files.size() >= 10);
    for (const auto& file : files) {
        DYNAMIC_SECTION(file.stem().string()) {
            const auto expected = content_of(file);
            const auto happened = replay(expected);
            if (std::getenv("MILLRACE_REWRITE_GOLDEN")) std::ofstream(file, std::ios::binary) << happened;
            else CHECK(happened == expected);
        }
    }
}

}  // namespace
}  // namespace millrace::core::testing
