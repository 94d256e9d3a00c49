// What an edit makes of a photo: the right part of it, in the right size, and upright.
#include <catch2/catch.hpp>
#include <vips/vips8>

#include <algorithm>
#include <filesystem>

#include "examples/photo_stack/photos/draft.hpp"
#include "examples/photo_stack/photos/photo_files.hpp"
#include "examples/photo_stack/photos/version_files.hpp"

using namespace photo_stack;
using vips::VImage;
namespace fs = std::filesystem;

namespace {

constexpr int width = 3000, height = 2000;

/// Once in a process.
void start_imaging() {
    static const bool started = [] { photos::start_imaging("test_photo_sizes"); return true; }();
    (void)started;
}

/// Red, green, blue and white: the quarters of a photo, with stripes of black between them.
VImage quarters() {
    auto image = VImage::black(width, height, VImage::option()->set("bands", 3)).copy_memory();
    const auto paint = [&](int left, int top, double r, double g, double b) { image.draw_rect({r, g, b}, left, top, width / 2 - 20, height / 2 - 20, VImage::option()->set("fill", true)); };
    paint(0, 0, 255, 0, 0);
    paint(width / 2 + 20, 0, 0, 255, 0);
    paint(0, height / 2 + 20, 0, 0, 255);
    paint(width / 2 + 20, height / 2 + 20, 255, 255, 255);
    return image.copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_sRGB));
}

/// Light bars on a darker ground, not quite in focus.
VImage fence() {
    auto image = (VImage::black(1200, 800, VImage::option()->set("bands", 3)) + 100).cast(VIPS_FORMAT_UCHAR).copy_memory();
    for (int left = 0; left < 1200; left += 16) image.draw_rect({160, 160, 160}, left, 0, 8, 800, VImage::option()->set("fill", true));
    return image.gaussblur(1.5).copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_sRGB));
}

struct colour {
    double r, g, b;
    bool is_near(double red, double green, double blue) const { return std::abs(r - red) < 12 && std::abs(g - green) < 12 && std::abs(b - blue) < 12; }
};

class darkroom {
public:
    darkroom() : place_(fs::temp_directory_path() / "photo_sizes_test"), files_(directory_photo_files(place_.folder())) { start_imaging(); }

    /// With an EXIF orientation as cameras write it.
    void keep_original(VImage photo, int orientation = 1) {
        const draft taken(place_.folder() / "drafts");
        photo.set("orientation", orientation);
        photo.jpegsave((taken.folder() / "original.jpg").c_str(), VImage::option()->set("Q", 95));
        REQUIRE(files_->keep(1, taken.folder()));
    }

    VImage edited(const photo_edit& edit, const std::string& kind = "large") {
        const auto made = make_version(*files_, place_.folder() / "drafts", 1, "original.jpg", 2, edit);
        REQUIRE(made);
        CHECK(made->sizes.size() == photos::renditions_of_a_photo());
        content_ = files_->read(1, file_of_size(2, kind, ".jpg")).value();
        return VImage::new_from_buffer(content_.data(), content_.size(), "");
    }

    photo_files& files() { return *files_; }

private:
    draft place_;
    std::unique_ptr<photo_files> files_;
    std::string content_;
};

colour colour_at(const VImage& image, double across, double down) {
    const auto c = image.getpoint(int(across * (image.width() - 1)), int(down * (image.height() - 1)));
    return {c[0], c[1], c[2]};
}

}  // namespace

TEST_CASE("sizes - a part of a photo is that part, pixel for pixel where it is small enough") {
    darkroom room;
    room.keep_original(quarters());
    const auto part = room.edited({.crop = photos::rectangle{width / 2 + 40, 100, 600, 500}});
    CHECK(part.width() == 600);
    CHECK(part.height() == 500);
    for (const auto x : {0.0, 1.0})
        for (const auto y : {0.0, 1.0}) CHECK(colour_at(part, x, y).is_near(0, 255, 0));
}

TEST_CASE("sizes - a large part is made smaller, and is the same part") {
    darkroom room;
    room.keep_original(quarters());
    const auto part = room.edited({.crop = photos::rectangle{0, height / 2 + 40, width, 900}});
    CHECK(part.width() == 1280);
    CHECK(std::abs(part.height() - 384) <= 1);
    CHECK(colour_at(part, 0.1, 0.1).is_near(0, 0, 255));
    CHECK(colour_at(part, 0.1, 0.9).is_near(0, 0, 255));
    CHECK(colour_at(part, 0.9, 0.1).is_near(255, 255, 255));
    const auto thumbnail = room.edited({.crop = photos::rectangle{0, height / 2 + 40, width, 900}}, "thumbnail");
    CHECK(thumbnail.width() == 320);
}

TEST_CASE("sizes - the rectangle is meant in the photo as it is shown") {
    darkroom room;
    room.keep_original(quarters(), 6);  // to be turned to the right: blue, red over white, green
    const auto part = room.edited({.crop = photos::rectangle{height / 2 + 40, 0, 700, 900}});
    CHECK(part.width() == 700);
    CHECK(part.height() == 900);
    CHECK(colour_at(part, 0.5, 0.5).is_near(255, 0, 0));
    CHECK(colour_at(part, 0.9, 0.9).is_near(255, 0, 0));
}

TEST_CASE("sizes - a single pixel is a photo, too") {
    darkroom room;
    room.keep_original(quarters());
    const auto part = room.edited({.crop = photos::rectangle{width - 1, height - 1, 1, 1}, .blur = 10, .sharpen = 10});
    CHECK(part.width() == 1);
    CHECK(part.height() == 1);
}

TEST_CASE("sizes - blur takes from the contrast of an edge, and sharpening adds to it") {
    darkroom room;
    room.keep_original(fence());
    const auto contrast = [&](const photo_edit& edit) { return room.edited(edit).extract_band(0).deviate(); };
    const auto plain = contrast({});
    CHECK(contrast({.blur = 3}) < 0.7 * plain);
    CHECK(contrast({.blur = 10}) < contrast({.blur = 3}));
    CHECK(contrast({.sharpen = 10}) > contrast({.sharpen = 5}));
    CHECK(contrast({.sharpen = 5}) > 1.02 * plain);
}

TEST_CASE("sizes - the same edit makes the same files") {
    darkroom room;
    room.keep_original(quarters());
    const photo_edit edit{.crop = photos::rectangle{100, 100, 2000, 1000}, .blur = 2, .sharpen = 2};
    room.edited(edit);
    const auto first = room.files().read(1, "v2-large.webp");
    room.edited(edit);
    CHECK(first == room.files().read(1, "v2-large.webp"));
}

TEST_CASE("sizes - a rectangle that is not within the photo makes it unusable") {
    darkroom room;
    room.keep_original(quarters());
    const photo_edit edit{.crop = photos::rectangle{width, 0, 10, 10}};
    CHECK_THROWS_AS(make_version(room.files(), fs::temp_directory_path() / "photo_sizes_test", 1, "original.jpg", 2, edit), photos::unusable);
}

TEST_CASE("sizes - a version's files go one by one, and a photo that is gone has none") {
    darkroom room;
    room.keep_original(quarters());
    room.edited({});
    for (const auto& file : files_of_version(2)) {
        CHECK(room.files().read(1, file));
        room.files().remove(1, file);
        room.files().remove(1, file);
        CHECK(!room.files().read(1, file));
    }
    CHECK(room.files().read(1, "original.jpg"));
    room.files().remove(1);
    CHECK(!make_version(room.files(), fs::temp_directory_path() / "photo_sizes_test", 1, "original.jpg", 2, {}));
}
