// photo-samples DIR PHOTO: fills DIR with what makes life hard for a photo worker: PHOTO in each of the eight EXIF orientations, and 20 files that
// claim to be photographs and are not, or not any more. Deterministic.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vips/vips8>

#include "examples/photo_workers/renditions.hpp"

namespace {

namespace fs = std::filesystem;
using vips::VImage;

void write(const fs::path& file, const std::string& bytes) {
    std::ofstream out(file, std::ios::binary);
    out << bytes;
    if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::string jpeg_of(const VImage& image) {
    void* data = nullptr;
    std::size_t size = 0;
    if (vips_jpegsave_buffer(image.get_image(), &data, &size, "Q", 80, nullptr) != 0) throw std::runtime_error("cannot encode the photograph");
    std::string bytes(static_cast<char*>(data), size);
    g_free(data);
    return bytes;
}

void make_turned(const VImage& photo, const fs::path& directory) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
        auto turned = photo.copy();
        turned.set("orientation", orientation);
        write(directory / ("turned-" + std::to_string(orientation) + ".jpg"), jpeg_of(turned));
    }
}

/// Noise that is the same on every run.
std::string noise(std::size_t size, std::uint32_t seed) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24));
    return bytes;
}

void make_corrupt(const std::string& jpeg, const fs::path& directory) {
    const auto name = [&](int n, const char* what, const char* extension) {
        return directory / ("corrupt-" + std::to_string(n) + "-" + what + extension);
    };
    int n = 0;
    for (int tenths = 1; tenths <= 8; ++tenths) write(name(++n, "cut", ".jpg"), jpeg.substr(0, jpeg.size() * static_cast<std::size_t>(tenths) / 10));
    for (std::uint32_t seed = 1; seed <= 4; ++seed) write(name(++n, "noise", ".jpg"), noise(20'000 * seed, seed));
    for (std::size_t head : {2u, 20u, 200u}) write(name(++n, "noise-behind-a-head", ".jpg"), jpeg.substr(0, head) + noise(30'000, 9));
    write(name(++n, "empty", ".jpg"), "");
    write(name(++n, "text", ".jpg"), "This is not a photograph.\n");
    write(name(++n, "page", ".png"), "<!doctype html><title>404</title>\n");
    write(name(++n, "png-head-only", ".png"), std::string("\x89PNG\r\n\x1a\n", 8));
    write(name(++n, "script", ".svg"), "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>\n");
}

}  // namespace

int main(int argc, char** argv) {
    std::string directory;
    std::string photo;
    CLI::App app("Makes turned and corrupt photographs", "photo-samples");
    app.add_option("DIR", directory, "where they go; made if missing")->required();
    app.add_option("PHOTO", photo, "a good photograph")->required()->check(CLI::ExistingFile);
    CLI11_PARSE(app, argc, argv);
    try {
        photos::start_imaging("photo-samples");
        fs::create_directories(directory);
        const auto image = VImage::thumbnail(photo.c_str(), 900).copy_memory();
        make_turned(image, directory);
        make_corrupt(jpeg_of(image), directory);
    } catch (const std::exception& e) {
        std::cerr << "photo-samples: " << e.what() << '\n';
        return 1;
    }
    return 0;
}
