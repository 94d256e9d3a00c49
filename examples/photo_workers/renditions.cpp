#include "examples/photo_workers/renditions.hpp"

#include <vips/vips8>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <sstream>

namespace photos {
namespace {

using vips::VError;
using vips::VImage;
namespace fs = std::filesystem;

constexpr int thumbnail_pixels = 320;
constexpr int square_pixels = 256;
constexpr int large_pixels = 1600;
constexpr int placeholder_pixels = 32;
constexpr int probe_pixels = 16;

/// An upright, shrunk picture; decoding fails on the first damaged byte instead of filling up with grey.
VImage shrink(const fs::path& photo, int pixels, bool square) {
    auto* options = VImage::option()->set("height", pixels)->set("size", VIPS_SIZE_DOWN)->set("fail_on", VIPS_FAIL_ON_WARNING);
    if (square) options->set("crop", VIPS_INTERESTING_CENTRE);
    return VImage::thumbnail(photo.c_str(), pixels, options);
}

struct recipe {
    const char* kind;
    VImage (*make)(const fs::path&);
};

const recipe recipes[] = {
    {"thumbnail", [](const fs::path& p) { return shrink(p, thumbnail_pixels, false).sharpen(); }},
    {"square", [](const fs::path& p) { return shrink(p, square_pixels, true).sharpen(); }},
    {"large", [](const fs::path& p) { return shrink(p, large_pixels, false); }},
    {"placeholder", [](const fs::path& p) { return shrink(p, placeholder_pixels, false).gaussblur(1.5); }},
};

struct format {
    const char* extension;
    void (*save)(const VImage&, const std::string&);
};

const format formats[] = {
    {".jpg", [](const VImage& i, const std::string& to) { i.jpegsave(to.c_str(), VImage::option()->set("Q", 85)->set("strip", true)); }},
    {".webp", [](const VImage& i, const std::string& to) { i.webpsave(to.c_str(), VImage::option()->set("Q", 80)->set("strip", true)); }},
};

std::string last_words() {
    std::string words = vips_error_buffer();
    vips_error_clear();
    std::replace(words.begin(), words.end(), '\n', ' ');
    return words.substr(0, 300);
}

/// Two photos of one name in different folders must not overwrite each other's results.
std::string stem_of(const fs::path& photo) {
    std::ostringstream out;
    out << photo.stem().string() << '-' << std::hex << (std::hash<std::string>{}(fs::absolute(photo).lexically_normal().string()) & 0xffffffffu);
    return out.str();
}

/// Width and height once turned upright.
std::pair<int, int> upright_size(const VImage& image) {
    const auto turned = image.get_typeof("orientation") != 0 && image.get_int("orientation") >= 5;
    return turned ? std::pair(image.height(), image.width()) : std::pair(image.width(), image.height());
}

bool is_near(int a, double b) { return std::abs(a - b) <= 1.0; }

/// The picture as 16 × 16 grey values, whatever its size and colours.
std::vector<double> fingerprint(const VImage& image) {
    auto small = image.colourspace(VIPS_INTERPRETATION_B_W);
    if (small.has_alpha()) small = small.flatten(VImage::option()->set("background", 255.0));
    small = small.extract_band(0).thumbnail_image(probe_pixels, VImage::option()->set("height", probe_pixels)->set("size", VIPS_SIZE_FORCE));
    std::vector<double> values;
    for (int y = 0; y < probe_pixels; ++y)
        for (int x = 0; x < probe_pixels; ++x) values.push_back(small.getpoint(x, y)[0]);
    return values;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
    return sum / static_cast<double>(a.size());
}

/// Upside down, mirrored or sideways pictures differ by far more; sharpening and compression by far less.
constexpr double distance_max = 12.0;

std::string check_one(const VImage& original, std::pair<int, int> size, const rendition& r) {
    const auto result = VImage::new_from_file(r.file.c_str(), VImage::option()->set("fail_on", VIPS_FAIL_ON_WARNING));
    const auto name = r.file.filename().string();
    const auto actual = std::to_string(result.width()) + "x" + std::to_string(result.height());
    if (result.width() != r.width || result.height() != r.height) return name + " is " + actual + ", not as reported";
    if (result.get_typeof("orientation") != 0 && result.get_int("orientation") != 1) return name + " still has an EXIF orientation";
    if (result.get_typeof("exif-data") != 0) return name + " still has EXIF metadata";
    const auto [width, height] = size;
    if (r.kind == "square") {
        const auto side = std::min({square_pixels, width, height});
        return is_near(result.width(), side) && is_near(result.height(), side) ? "" : name + " is " + actual + ", not square";
    }
    const auto box = r.kind == "thumbnail" ? thumbnail_pixels : r.kind == "large" ? large_pixels : placeholder_pixels;
    const auto scale = std::min({1.0, double(box) / width, double(box) / height});
    if (!is_near(result.width(), width * scale) || !is_near(result.height(), height * scale)) return name + " is " + actual + " from " + std::to_string(width) + "x" + std::to_string(height);
    if (r.kind == "placeholder") return "";
    const auto off = distance(fingerprint(original), fingerprint(result));
    return off <= distance_max ? "" : name + " does not show the photo upright: it differs by " + std::to_string(off);
}

}  // namespace

void start_imaging(const char* program) {
    if (VIPS_INIT(program) != 0) throw std::runtime_error("cannot start libvips: " + last_words());
    vips_block_untrusted_set(TRUE);
    vips_concurrency_set(1);
    vips_cache_set_max(0);
}

std::vector<rendition> make_renditions(const fs::path& photo, const fs::path& directory) {
    if (!fs::exists(photo)) throw unusable("there is no file " + photo.string());
    std::vector<rendition> made;
    for (const auto& recipe : recipes) {
        VImage image;
        try {
            image = recipe.make(photo).copy_memory();  // decodes: a damaged file fails here, before anything is written
        } catch (const VError&) {
            throw unusable(photo.filename().string() + " is not a usable photograph: " + last_words());
        }
        for (const auto& format : formats) {
            const auto file = directory / (stem_of(photo) + "-" + recipe.kind + format.extension);
            auto half_made = file;
            half_made.replace_filename("." + std::to_string(vips_thread_isvips()) + "." + std::to_string(reinterpret_cast<std::uintptr_t>(&image)) + file.filename().string());
            try {
                format.save(image, half_made.string());
            } catch (const VError&) {
                fs::remove(half_made);
                throw std::runtime_error("cannot write " + file.string() + ": " + last_words());
            }
            fs::rename(half_made, file);
            made.push_back({recipe.kind, file, image.width(), image.height()});
        }
    }
    return made;
}

std::vector<std::string> check_renditions(const fs::path& photo, const std::vector<rendition>& results) {
    std::vector<std::string> wrong;
    const auto expected = std::size(recipes) * std::size(formats);
    if (results.size() != expected)
        wrong.push_back(photo.filename().string() + " has " + std::to_string(results.size()) + " of " + std::to_string(expected) + " renditions");
    try {
        const auto header = VImage::new_from_file(photo.c_str());
        const auto original = shrink(photo, large_pixels, false).copy_memory();
        for (const auto& r : results) {
            auto problem = check_one(original, upright_size(header), r);
            if (!problem.empty()) wrong.push_back(std::move(problem));
        }
    } catch (const VError&) {
        wrong.push_back(photo.filename().string() + ": " + last_words());
    }
    return wrong;
}

}  // namespace photos
