// What a store leaves behind when its process dies, to be damaged and opened by tests.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "broker/storage/rocksdb_log_records.hpp"
#include "tests/scratch_directory.hpp"
#include "tests/storage/engines.hpp"

namespace millrace::storage {

namespace fs = std::filesystem;

/// Of RocksDB's log.
inline constexpr std::size_t block = log_block_bytes;

/// Records of the log `from`, from the begin of a block on, as the log `to` would have them; 0 has no salt.
inline std::string as_of_log(std::string records, std::uint64_t from, std::uint64_t to) {
    log_salter(from).put_on(records.data(), records.size());
    log_salter(to).put_on(records.data(), records.size());
    return records;
}

inline std::vector<core::mutation> numbered(std::uint64_t number, std::size_t bytes = 100) {
    return {append(partition(1), number, number, std::string(bytes, static_cast<char>('a' + number % 26))), core::put_row{"last", std::to_string(number)}};
}

/// The log in a store's directory that was written last.
inline fs::path newest_log(const fs::path& directory) {
    std::vector<fs::path> logs;
    for (const auto& file : fs::directory_iterator(directory)) {
        if (file.path().extension() == ".log") {
            logs.push_back(file.path());
        }
    }
    REQUIRE_FALSE(logs.empty());
    return *std::max_element(logs.begin(), logs.end());
}

/// A store's directory as the end of the process leaves it, taken while it is open and between two changes of its files: copied beside one,
/// it could name a table that was not yet whole when it was copied.
struct crash_image {
    scratch_directory scratch;
    fs::path path = scratch.path() / "image";

    explicit crash_image(const fs::path& directory) {
        std::error_code failed;  // a file that RocksDB was just deleting
        for (int tries = 0; tries < 1000; ++tries) {
            const auto before = files_of(directory, failed);
            if (!failed) fs::copy(directory, path, failed);
            if (!failed && files_of(directory, failed) == before && !failed) return;
            fs::remove_all(path);
            failed.clear();
        }
        FAIL("a store that is never idle");
    }

    using file_state = std::pair<std::uintmax_t, fs::file_time_type>;  // size, last change

    static std::map<std::string, file_state> files_of(const fs::path& directory, std::error_code& failed) {
        std::map<std::string, file_state> files;
        for (const auto& file : fs::directory_iterator(directory, failed)) {
            auto& [size, changed] = files[file.path().filename().string()];
            if (!failed) size = file.file_size(failed);
            if (!failed) changed = file.last_write_time(failed);
        }
        return files;
    }

    fs::path log() const { return newest_log(path); }
    std::uint64_t number() const { return *log_number(log().string()); }

    std::string bytes() const {
        std::ifstream file(log(), std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    /// Where the last batch in it ends; zeros were filled in behind. None of these tests writes zeros at an end.
    std::uint64_t end() const { return bytes().find_last_not_of('\0') + 1; }

    void overwrite(std::uint64_t offset, const std::string& bytes) const {
        std::fstream file(log(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file << bytes;
    }

    void flip(std::uint64_t offset) const { flip_bits(log(), offset, 0x10); }
};

}  // namespace millrace::storage
