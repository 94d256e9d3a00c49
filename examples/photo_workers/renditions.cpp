#include "examples/photo_workers/renditions.hpp"

#include <unistd.h>
#include <vips/vips8>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>

namespace photos {
namespace {

using vips::VError;
using vips::VImage;
namespace fs = std::filesystem;

constexpr int thumbnail_pixels = 320;
constexpr int square_pixels = 256;
constexpr int large_pixels = 1280;
constexpr int placeholder_pixels = 32;
constexpr int probe_pixels = 16;

/// The photo upright, within a box. Decoding fails at the first damaged byte instead of filling up with grey.
VImage upright(const fs::path& photo, int width_max, int height_max) {
    return VImage::thumbnail(photo.c_str(), width_max, VImage::option()->set("height", height_max)->set("size", VIPS_SIZE_DOWN)->set("fail_on", VIPS_FAIL_ON_WARNING));
}

/// At most as large as the largest rendition.
VImage decode(const fs::path& photo) { return upright(photo, large_pixels, large_pixels).copy_memory(); }

/// Width and height once turned upright.
std::pair<int, int> upright_size(const VImage& image) {
    const auto turned = image.get_typeof("orientation") != 0 && image.get_int("orientation") >= 5;
    return turned ? std::pair(image.height(), image.width()) : std::pair(image.width(), image.height());
}

/// The same of a part of it: the whole is made smaller first, as far as the part stays large enough, so that it takes no more memory than it must.
VImage decode_part(const fs::path& photo, const rectangle& part) {
    const auto [width, height] = upright_size(VImage::new_from_file(photo.c_str()));
    if (part.left + part.width > width || part.top + part.height > height) throw unusable(photo.filename().string() + " has no such part");
    const auto scale = std::min(1.0, double(large_pixels) / std::max(part.width, part.height));
    const auto whole = upright(photo, int(std::ceil(width * scale)), int(std::ceil(height * scale)));
    const auto across = double(whole.width()) / width, down = double(whole.height()) / height;
    const auto left = std::min(int(part.left * across), whole.width() - 1), top = std::min(int(part.top * down), whole.height() - 1);
    const auto w = std::clamp(int(std::lround(part.width * across)), 1, std::min(large_pixels, whole.width() - left));
    const auto h = std::clamp(int(std::lround(part.height * down)), 1, std::min(large_pixels, whole.height() - top));
    return whole.extract_area(left, top, w, h);
}

VImage develop(const fs::path& photo, const edit& wanted) {
    auto image = wanted.crop ? decode_part(photo, *wanted.crop) : decode(photo);
    if (wanted.blur > 0) image = image.gaussblur(wanted.blur);
    if (wanted.sharpen > 0) image = image.sharpen(VImage::option()->set("sigma", 1.5)->set("x1", 0.5)->set("m2", double(wanted.sharpen)));  // x1: noise is left alone
    return image.copy_memory();
}

VImage shrink(const VImage& photo, int pixels, VipsInteresting crop = VIPS_INTERESTING_NONE) {
    return photo.thumbnail_image(pixels, VImage::option()->set("height", pixels)->set("size", VIPS_SIZE_DOWN)->set("crop", crop));
}

struct recipe {
    const char* kind;
    VImage (*make)(const VImage& photo);
};

const recipe recipes[] = {
    {"thumbnail", [](const VImage& p) { return shrink(p, thumbnail_pixels).sharpen(); }},
    {"square", [](const VImage& p) { return shrink(p, square_pixels, VIPS_INTERESTING_CENTRE).sharpen(); }},
    {"large", [](const VImage& p) { return p; }},
    {"placeholder", [](const VImage& p) { return shrink(p, placeholder_pixels).gaussblur(1.5); }},
};

VImage on_white(const VImage& image) {
    return image.has_alpha() ? image.flatten(VImage::option()->set("background", 255.0)) : image;
}

/// A WebP file without its EXIF and XMP chunks: libvips 8.14 writes an EXIF chunk even when told to strip it.
/// Layout: "RIFF" u32 size "WEBP", then chunks of name, u32 size, bytes padded to even; VP8X begins with flags, of which 0x0c announce these two.
std::string without_metadata(const std::string& webp) {
    constexpr std::size_t head = 12;
    std::string out = webp.substr(0, head);
    for (std::size_t at = head; at + 8 <= webp.size();) {
        std::uint32_t size;
        std::memcpy(&size, webp.data() + at + 4, sizeof size);
        const auto name = webp.substr(at, 4);
        const auto whole = std::min<std::size_t>(8 + size + size % 2, webp.size() - at);
        if (name != "EXIF" && name != "XMP ") out += webp.substr(at, whole);
        if (name == "VP8X") out[out.size() - whole + 8] &= static_cast<char>(~0x0c);
        at += whole;
    }
    const auto riff_size = static_cast<std::uint32_t>(out.size() - 8);
    std::memcpy(out.data() + 4, &riff_size, sizeof riff_size);
    return out;
}

void save_jpeg(const VImage& image, const std::string& to) {
    on_white(image).jpegsave(to.c_str(), VImage::option()->set("Q", 85)->set("strip", true));
}

void save_webp(const VImage& image, const std::string& to) {
    auto* blob = image.webpsave_buffer(VImage::option()->set("Q", 80)->set("effort", 1)->set("strip", true));
    std::size_t size = 0;
    const auto* bytes = static_cast<const char*>(vips_blob_get(blob, &size));
    const auto clean = without_metadata({bytes, size});
    vips_area_unref(VIPS_AREA(blob));
    std::ofstream out(to, std::ios::binary);
    if (!out.write(clean.data(), static_cast<std::streamsize>(clean.size())).flush()) throw std::runtime_error("cannot write " + to);
}

struct format {
    const char* extension;
    void (*save)(const VImage&, const std::string&);
};

const format formats[] = {{".jpg", save_jpeg}, {".webp", save_webp}};

std::string last_words() {
    std::string words = vips_error_buffer();
    vips_error_clear();
    std::replace(words.begin(), words.end(), '\n', ' ');
    return words.empty() ? "it cannot be decoded" : words.substr(0, 300);
}

/// Two photos of one name in different folders must not overwrite each other's results.
std::string stem_of(const fs::path& photo) {
    std::ostringstream out;
    out << photo.stem().string() << '-' << std::hex << (std::hash<std::string>{}(fs::absolute(photo).lexically_normal().string()) & 0xffffffffu);
    return out.str();
}

bool is_near(int a, double b) { return std::abs(a - b) <= 1.0; }

/// The picture as 16 × 16 grey values, whatever its size and colours.
std::vector<double> fingerprint(const VImage& image) {
    auto small = on_white(image).colourspace(VIPS_INTERPRETATION_B_W).extract_band(0).thumbnail_image(probe_pixels, VImage::option()->set("height", probe_pixels)->set("size", VIPS_SIZE_FORCE)).copy_memory();
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

std::string check_one(const std::vector<double>& original, std::pair<int, int> size, const rendition& r) {
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
    const auto off = distance(original, fingerprint(result));
    return off <= distance_max ? "" : name + " does not show the photo upright: it differs by " + std::to_string(off);
}

}  // namespace

void start_imaging(const char* program) {
    if (VIPS_INIT(program) != 0) throw std::runtime_error("cannot start libvips: " + last_words());
    vips_block_untrusted_set(TRUE);
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING, [](const char*, GLogLevelFlags, const char*, void*) {}, nullptr);  // each comes as an error too
}

std::size_t renditions_of_a_photo() noexcept { return std::size(recipes) * std::size(formats); }

std::vector<std::string> rendition_names() {
    std::vector<std::string> names;
    for (const auto& recipe : recipes)
        for (const auto& format : formats) names.push_back(std::string(recipe.kind) + format.extension);
    return names;
}

std::vector<rendition> make_renditions(const fs::path& photo, const fs::path& directory, const edit& wanted) {
    if (!fs::exists(photo)) throw unusable("there is no file " + photo.string());
    VImage developed;
    try {
        developed = develop(photo, wanted);  // a damaged file fails here, before anything is written
    } catch (const VError&) {
        throw unusable(photo.filename().string() + " is not a usable photograph: " + last_words());
    }
    std::vector<rendition> made;
    for (const auto& recipe : recipes) {
        const auto image = recipe.make(developed).copy_memory();
        for (const auto& format : formats) {
            const auto file = directory / (stem_of(photo) + "-" + recipe.kind + format.extension);
            const auto half_made = directory / ("." + std::to_string(getpid()) + "-" + file.filename().string());
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
    const auto expected = renditions_of_a_photo();
    if (results.size() != expected)
        wrong.push_back(photo.filename().string() + " has " + std::to_string(results.size()) + " of " + std::to_string(expected) + " renditions");
    try {
        const auto header = VImage::new_from_file(photo.c_str());
        const auto original = fingerprint(decode(photo));
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
