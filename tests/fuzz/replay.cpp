// Runs a target on what is kept of it, without a fuzzer: `fuzz-replay TARGET CORPUS_DIRECTORY [VARIANTS]`. Each file is an input; with VARIANTS, so many
// more are made of each by small changes, always the same ones. Prints how many inputs there were; a broken promise aborts, after the name of its file.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "tests/fuzz/target.hpp"

namespace millrace::fuzz {

std::vector<target>& targets() {
    static std::vector<target> all;
    return all;
}

namespace {

namespace fs = std::filesystem;
using bytes = std::vector<std::uint8_t>;

bytes content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bytes variant_of(bytes b, std::mt19937& random) {
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
        const auto at = b.empty() ? 0 : random() % b.size();
        switch (random() % 4) {
            case 0: b.insert(b.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random())); break;
            case 1: if (!b.empty()) b.erase(b.begin() + static_cast<std::ptrdiff_t>(at)); break;
            case 2: if (!b.empty()) b[at] = static_cast<std::uint8_t>(random()); break;
            default: if (!b.empty()) b[at] ^= static_cast<std::uint8_t>(1u << random() % 8); break;
        }
    }
    return b;
}

int replay(const target& t, const fs::path& directory, unsigned long variants) {
    std::vector<fs::path> files;
    for (const auto& file : fs::directory_iterator(directory)) files.push_back(file.path());
    std::sort(files.begin(), files.end());
    std::mt19937 random(1);
    unsigned long executions = 0;
    for (const auto& file : files) {
        std::cerr << file.filename().string() << std::endl;  // should it be the last
        const auto kept = content_of(file);
        t.run(kept);
        for (unsigned long i = 0; i < variants; ++i) t.run(variant_of(kept, random));
        executions += 1 + variants;
    }
    t.run({});
    std::cout << t.name << ": " << files.size() << " kept inputs, " << executions + 1 << " executions\n";
    return files.empty() ? 1 : 0;
}

}  // namespace
}  // namespace millrace::fuzz

int main(int argc, char** argv) {
    using namespace millrace::fuzz;
    for (const auto& t : targets())
        if (argc >= 3 && std::string(argv[1]) == t.name) return replay(t, argv[2], argc > 3 ? std::stoul(argv[3]) : 0);
    std::cerr << "usage: fuzz-replay TARGET CORPUS_DIRECTORY [VARIANTS], where TARGET is one of";
    for (const auto& t : targets()) std::cerr << ' ' << t.name;
    std::cerr << '\n';
    return 2;
}
