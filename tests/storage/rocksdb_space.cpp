// The disk comes back when entries are freed.
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

std::uintmax_t blob_bytes(const std::filesystem::path& directory) {
    std::uintmax_t bytes = 0;
    std::error_code vanished;  // files go while this looks
    for (const auto& file : std::filesystem::directory_iterator(directory, vanished)) {
        if (file.path().extension() == ".blob") {
            const auto size = file.file_size(vanished);
            bytes += vanished ? 0 : size;
        }
    }
    return bytes;
}

bool shrinks_to(const std::filesystem::path& directory, std::uintmax_t bytes) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (blob_bytes(directory) > bytes) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return true;
}

constexpr std::uint64_t entry_count = 300;
constexpr std::size_t entry_size = 1u << 20;

void fill(store& to, core::fencing_epoch epoch) {
    const auto text = std::string(entry_size, 'x');
    for (std::uint64_t i = 0; i < entry_count; ++i) {
        REQUIRE_FALSE(commit(to, epoch, {append(partition(1), i, i, text)}));
    }
}

}  // namespace

TEST_CASE("the space of freed entries comes back when the store is idle") {
    const scratch_directory scratch;
    auto options = options_for(scratch.path());
    options.memtable_bytes = 16u << 20;  // a blob file holds entries of which some stay
    auto opened = open_or_fail(options);
    const auto epoch = open_shard(*opened);
    fill(*opened, epoch);
    REQUIRE(blob_bytes(scratch.path()) > entry_count * entry_size / 2);

    SECTION("all were freed") {
        for (std::uint64_t i = 0; i < entry_count; ++i) {
            REQUIRE_FALSE(commit(*opened, epoch, {free_of(partition(1), i)}));
        }
        CHECK(shrinks_to(scratch.path(), 0));
    }
    SECTION("all but every tenth were freed: those are moved together") {
        for (std::uint64_t i = 0; i < entry_count; ++i) {
            if (i % 10 != 0) {
                REQUIRE_FALSE(commit(*opened, epoch, {free_of(partition(1), i)}));
            }
        }
        CHECK(shrinks_to(scratch.path(), entry_count * entry_size / 5));
        CHECK(read_texts(*opened, partition(1)).size() == entry_count / 10);
    }
    SECTION("all were freed, and the store was closed before it came to it") {
        for (std::uint64_t i = 0; i < entry_count; ++i) {
            REQUIRE_FALSE(commit(*opened, epoch, {free_of(partition(1), i)}));
        }
        opened.reset();
        opened = open_or_fail(options);
        CHECK(shrinks_to(scratch.path(), 0));
    }
    SECTION("the partition was dropped") {
        REQUIRE_FALSE(commit(*opened, epoch, {core::drop_partition{partition(1)}}));
        CHECK(shrinks_to(scratch.path(), 0));
    }
}

}  // namespace millrace::storage
