// The engines under test, and short ways to speak to a store.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "broker/storage/rocksdb_store.hpp"
#include "broker/storage/store.hpp"
#include "tests/scratch_directory.hpp"

namespace millrace::storage {

/// Small memtables, so that a test of a few MiB sees flushes.
rocksdb_options options_for(const std::filesystem::path& directory);

/// Fails the test when it does not open.
std::unique_ptr<store> open_or_fail(const rocksdb_options& options);

enum class engine_kind { memory, rocksdb, rocksdb_buffered };
const char* name_of(engine_kind kind);

class engine {
public:
    explicit engine(engine_kind kind);

    store& operator*() { return *store_; }
    store* operator->() { return store_.get(); }
    bool keeps_files() const { return kind_ != engine_kind::memory; }
    const std::filesystem::path& directory() const { return scratch_.path(); }

    /// Closes and opens again what keeps files; leaves the rest alone.
    void reopen();

private:
    const engine_kind kind_;
    scratch_directory scratch_;
    std::unique_ptr<store> store_;
};

inline constexpr core::shard_id first_shard{0};
inline constexpr core::shard_id second_shard{1};

core::partition_id partition(std::uint32_t topic, std::uint32_t index = 0);
core::entry_bytes bytes_of(const std::string& text);
std::string text_of(const core::entry_bytes& bytes);
core::append_entry append(core::partition_id where, std::uint64_t first, std::uint64_t last, const std::string& text);
core::free_entry free_of(core::partition_id where, std::uint64_t last);

/// Fails the test when the shard does not open.
core::fencing_epoch open_shard(store& opened, core::shard_id shard = first_shard);

/// Waits for the answer.
error commit(store& to, core::fencing_epoch epoch, std::vector<core::mutation> group, core::shard_id shard = first_shard);

struct text_entry {
    std::uint64_t last;
    std::string text;

    bool operator==(const text_entry&) const = default;
};
std::ostream& operator<<(std::ostream& out, const text_entry& entry);

/// Fails the test on an error.
std::vector<text_entry> read_texts(store& from, core::partition_id where, std::uint64_t first = 0, std::size_t max_bytes = 1u << 30);
std::vector<core::row> rows_of(store& from, const std::string& begin, const std::string& end, std::size_t limit = 1'000'000);

inline void flip_bits(const std::filesystem::path& path, std::uint64_t offset, char bits) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const auto was = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(was ^ bits));
}

}  // namespace millrace::storage
