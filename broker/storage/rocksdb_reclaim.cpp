#include "broker/storage/rocksdb_reclaim.hpp"

#include <rocksdb/metadata.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "broker/storage/rocksdb_keys.hpp"

namespace millrace::storage {
namespace {

using namespace std::chrono_literals;

// Within the promise that space is back 60 s after it was freed, idle or not.
constexpr auto look_every = 1s;
constexpr int quiet_looks = 3;    // without a commit, after which there is time to compact
constexpr int patient_looks = 30;  // after which it is done under load as well

constexpr std::size_t separate_ranges = 64;
constexpr std::uint64_t worthwhile_garbage = 64u << 20;

}  // namespace

rocksdb_reclaim::rocksdb_reclaim(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* entries, std::function<void()> on_quiet)
    : database_(database), entries_(entries), on_quiet_(std::move(on_quiet)) {
    std::uint64_t fresh_files = 0;
    database_.GetIntProperty(entries_, rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &fresh_files);
    everything_ = fresh_files > 0;
    thread_ = std::thread([this] { run(); });
}

rocksdb_reclaim::~rocksdb_reclaim() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    to_run_.notify_all();
    thread_.join();
}

void rocksdb_reclaim::note(const std::vector<core::mutation>& group) {
    groups_.fetch_add(1, std::memory_order_relaxed);
    for (const auto& mutation : group) {
        if (const auto* freed = std::get_if<core::free_entry>(&mutation)) {
            widen(freed->partition, freed->last, freed->last);
        } else if (const auto* dropped = std::get_if<core::drop_partition>(&mutation)) {
            widen(dropped->partition, {0}, {std::numeric_limits<std::uint64_t>::max()});
        }
    }
}

void rocksdb_reclaim::widen(core::partition_id partition, sequence first, sequence last) {
    std::lock_guard lock(mutex_);
    if (everything_) {
        return;
    }
    const auto [found, is_new] = freed_.try_emplace(partition, freed_range{first, last});
    if (!is_new) {
        found->second = {std::min(found->second.first, first), std::max(found->second.last, last)};
    }
    everything_ = freed_.size() > separate_ranges;
}

void rocksdb_reclaim::run() {
    std::unique_lock lock(mutex_);
    std::uint64_t seen = 0;
    int quiet = 0;
    int waited = 0;
    while (true) {
        to_run_.wait_for(lock, look_every, [this] { return stopping_.load(); });
        if (stopping_) {
            return;
        }
        const auto groups = groups_.load(std::memory_order_relaxed);
        quiet = groups == std::exchange(seen, groups) ? quiet + 1 : 0;
        if (quiet == 1) {
            lock.unlock();
            on_quiet_();
            lock.lock();
        }
        if (freed_.empty() && !everything_) {
            waited = 0;
            continue;
        }
        if (quiet < quiet_looks && ++waited < patient_looks) {
            continue;
        }
        const auto freed = everything_ ? freed_ranges{} : std::exchange(freed_, {});
        everything_ = false;
        freed_.clear();
        waited = 0;
        lock.unlock();
        compact(freed);
        collect_garbage();
        lock.lock();
    }
}

// `freed` empty: all there is. Compaction moves references, some 60 bytes an entry, whatever the size of the payload.
void rocksdb_reclaim::compact(const freed_ranges& freed) {
    const rocksdb::CompactRangeOptions options;
    if (freed.empty()) {
        compact_range(options, nullptr, nullptr);
    }
    for (const auto& [partition, range] : freed) {
        const auto first = entry_key(partition, range.first);
        const auto last = entry_key(partition, range.last);
        const rocksdb::Slice begin(first);
        const rocksdb::Slice end(last);
        if (!compact_range(options, &begin, &end)) {
            return;
        }
    }
}

// The oldest blob files that together are at least half garbage: their live entries move to a new file, and they go. So the disk holds at
// most about twice what is retained, and a retained byte is moved at most about once for every byte freed around it.
void rocksdb_reclaim::collect_garbage() {
    rocksdb::ColumnFamilyMetaData family;
    database_.GetColumnFamilyMetaData(entries_, &family);
    auto& files = family.blob_files;
    std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.blob_file_number < b.blob_file_number; });
    std::uint64_t total = 0;
    std::uint64_t garbage = 0;
    std::size_t worthwhile = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
        total += files[i].total_blob_bytes;
        garbage += files[i].garbage_blob_bytes;
        if (garbage >= worthwhile_garbage && garbage * 2 >= total) {
            worthwhile = i + 1;
        }
    }
    if (worthwhile == 0) {
        return;
    }
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
    // RocksDB takes the share of files, rounded down: aim at the middle of the next one.
    options.blob_garbage_collection_age_cutoff =
        std::min(1.0, (static_cast<double>(worthwhile) + 0.5) / static_cast<double>(files.size()));
    compact_range(options, nullptr, nullptr);
}

bool rocksdb_reclaim::compact_range(const rocksdb::CompactRangeOptions& options, const rocksdb::Slice* begin, const rocksdb::Slice* end) {
    auto cancelable = options;
    cancelable.canceled = &stopping_;
    // A failure is the database's own: it refuses the next commit by itself, and the next pass comes with the next free.
    return database_.CompactRange(cancelable, entries_, begin, end).ok();
}

}  // namespace millrace::storage
