#include "broker/storage/rocksdb_store.hpp"

#include <rocksdb/perf_level.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <utility>

#include "broker/storage/commit_loop.hpp"
#include "broker/storage/rocksdb_copies.hpp"
#include "broker/storage/rocksdb_database.hpp"
#include "broker/storage/rocksdb_directory.hpp"
#include "broker/storage/rocksdb_disk.hpp"

namespace millrace::storage {
namespace {

/// Of a store that no database is open on. Whether any was mended.
bool mend_all_tables(const rocksdb_options& options) {
    const auto files = files_of(options);
    const auto env = rocksdb::NewCompositeEnv(files);
    return mend_tables(*files, *env, options.directory.string(), options.tell) > 0;
}

/// Once more after each thing that may have been in the way: CURRENT's manifest, damaged tables.
result<std::unique_ptr<rocksdb_database>> open_database(const rocksdb_options& options, rocksdb_disk& disk) {
    const auto files = files_of(options);
    const auto directory = options.directory.string();
    auto opened = rocksdb_database::open(options, disk);
    const auto is_damaged = [&] { return !opened && opened.failure().code == errc::corruption && !is_locked(*files, directory); };
    if (is_damaged() && use_other_manifest(*files, directory, options.tell)) {
        opened = rocksdb_database::open(options, disk);
    }
    if (is_damaged() && mend_all_tables(options)) {
        opened = rocksdb_database::open(options, disk);
    }
    return opened;
}

/// The damaged table that a reader met; empty when it met none.
std::string damaged_table(const error& refused) {
    return refused.code == errc::corruption ? table_named_in(refused.what) : std::string{};
}
template <class Found>
std::string damaged_table(const result<Found>& found) {
    return found ? std::string{} : damaged_table(found.failure());
}
std::string damaged_table(const result<std::vector<stored_entry>>& found) {
    if (!found) {
        return damaged_table(found.failure());
    }
    const auto damaged = std::find_if(found.value().begin(), found.value().end(), [](const stored_entry& e) { return !e.damage.empty(); });
    return damaged == found.value().end() ? std::string{} : table_named_in(damaged->damage);
}

/// RocksDB counts each comparison and each read, in memory of the calling thread that it has to look up for each. Nobody reads the counts, and without them a
/// small group is written with a tenth fewer instructions.
void leave_uncounted() {
    thread_local bool left = false;
    if (!std::exchange(left, true)) {
        rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
    }
}

class rocksdb_store final : public store, private durable_log {
public:
    rocksdb_store(rocksdb_options options, std::unique_ptr<rocksdb_disk> disk, std::unique_ptr<rocksdb_database> database)
        : options_(std::move(options)), disk_(std::move(disk)), database_(std::move(database)), loop_(*this, options_.level >= durability::disk) {
        sound_generation_ = loop_.generation();
    }

    durability level() const override { return options_.level; }

    result<core::fencing_epoch> open(core::shard_id shard) override {
        loop_.drain();
        if (error refused = recover()) {
            return refused;
        }
        auto epoch = mending([&](rocksdb_database& database) { return database.raise_epoch(shard); });
        if (epoch) {
            loop_.admit(shard, epoch.value());
        } else {
            sound_generation_ = unsound;  // the write of the epoch failed: what followed it would stand on its remains
        }
        return epoch;
    }

    void commit(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation> group, commit_done done) override {
        loop_.submit(shard, epoch, std::move(group), std::move(done));
    }

    result<std::vector<stored_entry>> read(core::partition_id partition, sequence from, std::size_t max_bytes) override {
        return mending([&](rocksdb_database& database) { return database.reader().read(partition, from, max_bytes); });
    }

    result<std::vector<core::row>> scan(const core::row_range& range, std::size_t limit) override {
        return mending([&](rocksdb_database& database) { return database.reader().scan(range, limit); });
    }

    error checkpoint(const std::filesystem::path& dir) override {
        std::shared_lock lock(database_mutex_);
        return database_ ? database_->checkpoint(dir) : closed();
    }

    std::optional<disk_space> space() override { return disk_->space(); }

private:
    static constexpr std::uint64_t unsound = 0;

    error write(std::span<const pending_commit> groups) override {
        leave_uncounted();
        std::shared_lock lock(database_mutex_);
        auto failed = database_ ? database_->write(groups) : closed();
        if (failed.code == errc::corruption) {
            tables_are_suspect_ = true;  // a compaction has met one, and RocksDB writes no more
        }
        return failed;
    }

    error sync() override {
        std::shared_lock lock(database_mutex_);
        return database_ ? database_->sync() : closed();
    }

    // After a failure the log may end in the middle of a group, and memtables may hold what the log does not. Closing and recovering leaves one
    // truth: what the log gives back, moved into files of its own before anything new is written. One that did not open again behind a table that
    // was mended is closed though no commit failed.
    error recover() {
        const auto generation = loop_.generation();
        std::unique_lock lock(database_mutex_);
        if (database_ && generation == sound_generation_) {
            return {};
        }
        database_.reset();
        if (tables_are_suspect_) {
            mend_all_tables(options_);
        }
        if (error refused = open_again()) {
            return refused;
        }
        sound_generation_ = generation;
        return {};
    }

    /// REQUIRES database_mutex_ alone, and that the database is closed.
    error open_again() {
        auto opened = open_database(options_, *disk_);
        if (!opened) {
            return opened.failure();
        }
        database_ = std::move(opened.value());
        tables_are_suspect_ = false;
        return {};
    }

    /// Reads, or raises an epoch, and once more when a damaged table that was in the way has been mended from its copy.
    template <class Read>
    auto mending(Read read) -> decltype(read(std::declval<rocksdb_database&>())) {
        leave_uncounted();
        std::string table;
        {
            std::shared_lock lock(database_mutex_);
            if (!database_) {
                return closed();
            }
            auto found = read(*database_);
            table = damaged_table(found);
            if (table.empty()) {
                return found;
            }
        }
        mend(table);
        std::shared_lock lock(database_mutex_);
        return database_ ? read(*database_) : closed();
    }

    // Groups that were written and not synced are recovered with the rest, into files that are synced: their sync finds nothing left to do.
    void mend(const std::string& table) {
        const auto files = files_of(options_);
        const auto env = rocksdb::NewCompositeEnv(files);
        const auto directory = options_.directory.string();
        std::unique_lock lock(database_mutex_);
        if (!database_ || beyond_mending_.contains(table)) {
            return;
        }
        if (!can_mend(*env, directory, table)) {  // or somebody else has just done it
            beyond_mending_.insert(table);
            return;
        }
        database_.reset();
        mend_table(*files, *env, directory, table, options_.tell);
        if (error refused = open_again()) {
            options_.tell("the store " + directory + " did not open again after " + table + " was mended: " + refused.what);
        }
    }

    error closed() const {
        return {errc::storage_failure, "the store " + options_.directory.string() + " failed and has not been recovered"};
    }

    const rocksdb_options options_;
    const std::unique_ptr<rocksdb_disk> disk_;
    std::shared_mutex database_mutex_;  // exclusive while it is closed and recovered
    std::unique_ptr<rocksdb_database> database_;
    std::set<std::string> beyond_mending_;      // tables whose copies are damaged as well
    std::atomic<bool> tables_are_suspect_{false};
    std::uint64_t sound_generation_ = unsound;  // of the loop, when the database was opened
    commit_loop loop_;                          // last: it ends before the database does
};

std::filesystem::path without_trailing_slash(const std::filesystem::path& directory) {
    const auto normal = directory.lexically_normal();
    return normal.has_filename() ? normal : normal.parent_path();
}

}  // namespace

result<std::unique_ptr<store>> open_rocksdb_store(const rocksdb_options& options) {
    auto named = options;
    named.directory = without_trailing_slash(options.directory);
    named = fit_to_disk(named);
    auto disk = std::make_unique<rocksdb_disk>(named);
    auto opened = open_database(named, *disk);
    if (!opened) {
        return opened.failure();
    }
    if (!named.examine) {
        disk->tend(0);
    }
    named.salvage = false;  // once: what fails later is recovered as it stands
    return std::unique_ptr<store>(std::make_unique<rocksdb_store>(std::move(named), std::move(disk), std::move(opened.value())));
}

}  // namespace millrace::storage
