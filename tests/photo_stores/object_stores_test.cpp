#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "examples/photo_stack/photos/draft.hpp"
#include "examples/photo_stack/photos/object_stores.hpp"
#include "tests/photo_stores/object_store_process.hpp"

using namespace photo_stack;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct two_stores {
    object_store_process first, second;
    object_stores stores{{first.address(), second.address()}};

    /// Of a photo with these files, whose content is their name.
    bool keep(std::int64_t photo, const std::vector<std::string>& names) {
        const draft made(fs::temp_directory_path());
        for (const auto& name : names) std::ofstream(made.folder() / name) << name;
        return stores.keep(photo, made.folder());
    }

    /// Until a store that was away is asked again.
    template <class Done>
    bool comes(Done done) {
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (std::chrono::steady_clock::now() < until) {
            if (done()) return true;
            std::this_thread::sleep_for(20ms);
        }
        return false;
    }

    void even_out_when_both_are_back(std::int64_t photo) {
        REQUIRE(comes([&] {
            try {
                stores.even_out(photo);
                return true;
            } catch (const photos_unavailable&) {
                return false;
            }
        }));
    }
};

}  // namespace

TEST_CASE("what is kept is in both stores, and gone from both") {
    two_stores t;
    CHECK(t.keep(7, {"original.jpg", "v1-square.jpg"}));
    CHECK(t.first.has("/media/7/original.jpg"));
    CHECK(t.second.has("/media/7/v1-square.jpg"));
    CHECK(t.stores.read(7, "v1-square.jpg") == "v1-square.jpg");
    CHECK_FALSE(t.stores.read(7, "v1-large.jpg"));
    CHECK_FALSE(t.stores.read(8, "v1-square.jpg"));
    CHECK(t.stores.remove(7));
    CHECK_FALSE(t.first.has("/media/7"));
    CHECK_FALSE(t.second.has("/media/7"));
    CHECK(t.stores.remove(7));
}

TEST_CASE("names that are none of ours are names of nothing") {
    two_stores t;
    t.keep(7, {"original.jpg"});
    for (const auto* name : {"", ".", "..", "../7/original.jpg", "original.jpg?", "%6friginal.jpg", "a b", "original.jpg#"}) CHECK_FALSE(t.stores.read(7, name));
}

TEST_CASE("one store suffices, and the other one gets what it has missed") {
    two_stores t;
    REQUIRE(t.keep(7, {"original.jpg"}));
    t.first.stop();
    CHECK_FALSE(t.keep(7, {"v1-square.jpg"}));
    CHECK_FALSE(t.keep(8, {"original.jpg"}));
    CHECK(t.stores.read(8, "original.jpg") == "original.jpg");
    CHECK_THROWS_AS(t.stores.read(9, "original.jpg"), photos_unavailable);  // the one that is away may have it
    CHECK_THROWS_AS(t.stores.even_out(8), photos_unavailable);
    CHECK_NOTHROW(t.stores.check());
    t.first.start();
    t.even_out_when_both_are_back(7);
    t.even_out_when_both_are_back(8);
    CHECK(t.first.has("/media/7/v1-square.jpg"));
    CHECK(t.first.has("/media/8/original.jpg"));
    CHECK_FALSE(t.stores.read(9, "original.jpg"));
}

TEST_CASE("a removal says whether it was everywhere") {
    two_stores t;
    REQUIRE(t.keep(7, {"original.jpg"}));
    t.second.stop();
    CHECK_FALSE(t.stores.remove(7));
    CHECK_FALSE(t.first.has("/media/7"));
    CHECK(t.second.has("/media/7"));
    t.second.start();
    CHECK(t.comes([&] { return t.stores.remove(7); }));
    CHECK_FALSE(t.second.has("/media/7"));
}

TEST_CASE("one file is removed from both, and the others stay") {
    two_stores t;
    REQUIRE(t.keep(7, {"original.jpg", "v1-square.jpg"}));
    CHECK(t.stores.remove(7, "v1-square.jpg"));
    CHECK(t.stores.remove(7, "v1-square.jpg"));
    CHECK_FALSE(t.first.has("/media/7/v1-square.jpg"));
    CHECK_FALSE(t.second.has("/media/7/v1-square.jpg"));
    CHECK(t.second.has("/media/7/original.jpg"));
    t.first.stop();
    CHECK_FALSE(t.stores.remove(7, "original.jpg"));
    CHECK_FALSE(t.second.has("/media/7/original.jpg"));
}

TEST_CASE("without any store nothing is kept") {
    two_stores t;
    t.first.stop();
    t.second.stop();
    CHECK_THROWS_AS(t.keep(7, {"original.jpg"}), photos_unavailable);
    CHECK_THROWS_AS(t.stores.read(7, "original.jpg"), photos_unavailable);
    CHECK_THROWS_AS(t.stores.check(), photos_unavailable);
}

TEST_CASE("a store that is silent costs its deadline once, and then nothing for a moment") {
    two_stores t;
    REQUIRE(t.keep(7, {"original.jpg"}));
    t.first.freeze();
    const auto begun = std::chrono::steady_clock::now();
    CHECK_FALSE(t.keep(8, {"original.jpg", "v1-square.jpg"}));
    const auto once = std::chrono::steady_clock::now() - begun;
    CHECK(once >= 1s);
    CHECK(once < 4s);
    CHECK_FALSE(t.keep(9, {"original.jpg", "v1-square.jpg"}));
    CHECK(std::chrono::steady_clock::now() - begun - once < 1s);
    t.first.thaw();
    t.even_out_when_both_are_back(9);
    CHECK(t.first.has("/media/9/v1-square.jpg"));
}

TEST_CASE("a store's address is checked") {
    for (const auto* address : {"", "10.0.0.1:8000", "http://10.0.0.1", "http://store:8000", "http://10.0.0.1:0", "http://10.0.0.1:x", "https://10.0.0.1:8000"})
        CHECK_THROWS_AS(object_stores({address}), std::invalid_argument);
    CHECK_THROWS_AS(object_stores(std::vector<std::string>{}), std::invalid_argument);
}
