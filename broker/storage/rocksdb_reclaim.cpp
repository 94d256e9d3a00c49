#include "broker/storage/rocksdb_reclaim.hpp"

#include <rocksdb/metadata.h>

#include <algorithm>
#include <future>
#include <limits>
#include <string>
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
constexpr std::uint64_t worthwhile_when_scarce = 4u << 20;
constexpr int most_rounds = 8;  // of moving live entries, in one pass

}  // namespace

rocksdb_reclaim::rocksdb_reclaim(rocksdb::DB& database, const families& of, rocksdb_disk& disk, std::function<void()> on_quiet)
    : database_(database), families_(of), disk_(disk), on_quiet_(std::move(on_quiet)) {
    std::string fresh_files;  // what was freed before the last end may be in them; RocksDB gives this number as text alone
    database_.GetProperty(families_.entries, rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &fresh_files);
    everything_ = fresh_files != "0";
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
    while (!to_run_.wait_for(lock, look_every, [this] { return stopping_.load(); })) {
        lock.unlock();
        disk_.tend(unwritten_bytes());
        look_for_quiet();
        const auto scarce = disk_.is_scarce();
        if (scarce) {
            write_out();
        }
        if (const auto freed = take_what_is_due(scarce)) {
            compact(*freed);
            for (int round = 0; round < most_rounds && collect_garbage(scarce); ++round) {
            }
        }
        if (scarce || quiet_looks_ == quiet_looks) {
            remove_obsolete_files();
        }
        lock.lock();
    }
}

/// In the memtables, of which some may be on their way to the disk.
std::uint64_t rocksdb_reclaim::unwritten_bytes() const {
    std::uint64_t bytes = 0;
    database_.GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &bytes);
    return bytes;
}

void rocksdb_reclaim::look_for_quiet() {
    const auto groups = groups_.load(std::memory_order_relaxed);
    quiet_looks_ = groups == std::exchange(seen_groups_, groups) ? quiet_looks_ + 1 : 0;
    if (quiet_looks_ == 1) {
        on_quiet_();
    }
}

// Empty: all there is.
std::optional<rocksdb_reclaim::freed_ranges> rocksdb_reclaim::take_what_is_due(bool scarce) {
    std::lock_guard lock(mutex_);
    if (freed_.empty() && !everything_) {
        waited_looks_ = 0;
        return std::nullopt;
    }
    if (quiet_looks_ < quiet_looks && ++waited_looks_ < (scarce ? 1 : patient_looks)) {
        return std::nullopt;
    }
    waited_looks_ = 0;
    auto freed = std::exchange(freed_, {});
    return std::exchange(everything_, false) ? freed_ranges{} : std::move(freed);
}

// What is in files needs no log. What was freed while it was in memory is not written at all.
void rocksdb_reclaim::write_out() {
    const auto groups = groups_.load(std::memory_order_relaxed);
    std::uint64_t unwritten = 0;
    database_.GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &unwritten);
    if (groups == written_groups_ || unwritten >= disk_.free_bytes()) {
        return;
    }
    rocksdb::FlushOptions options;
    options.allow_write_stall = true;
    if (see_through([&] { return database_.Flush(options, {families_.own, families_.rows, families_.entries}); })) {
        written_groups_ = groups;
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
// most about twice what is retained, and a retained byte is moved at most about once for every byte freed around it. No more is moved at a time
// than half of what is free: the old files go when the new one stands.
bool rocksdb_reclaim::collect_garbage(bool scarce) {
    rocksdb::ColumnFamilyMetaData family;
    database_.GetColumnFamilyMetaData(families_.entries, &family);
    auto& files = family.blob_files;
    std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.blob_file_number < b.blob_file_number; });
    const auto least = scarce ? worthwhile_when_scarce : worthwhile_garbage;
    const auto most_moved = disk_.free_bytes() / 2;
    std::uint64_t total = 0;
    std::uint64_t garbage = 0;
    std::size_t worthwhile = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
        total += files[i].total_blob_bytes;
        garbage += files[i].garbage_blob_bytes;
        if (garbage >= least && garbage * 2 >= total && total - garbage <= most_moved) {
            worthwhile = i + 1;
        }
    }
    if (worthwhile == 0) {
        return false;
    }
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
    // RocksDB takes the share of files, rounded down: aim at the middle of the next one.
    options.blob_garbage_collection_age_cutoff =
        std::min(1.0, (static_cast<double>(worthwhile) + 0.5) / static_cast<double>(files.size()));
    return compact_range(options, nullptr, nullptr);
}

// RocksDB removes the files that a flush or compaction has replaced when that ends, unless somebody still looks at them: a Get, or the look at the metadata
// above. Those leave them to the next flush or compaction, which may never come: nothing is published on a full disk.
void rocksdb_reclaim::remove_obsolete_files() {
    if (database_.DisableFileDeletions().ok()) {
        database_.EnableFileDeletions(/*force=*/false).PermitUncheckedError();  // looks for them in the directory
    }
}

bool rocksdb_reclaim::compact_range(const rocksdb::CompactRangeOptions& options, const rocksdb::Slice* begin, const rocksdb::Slice* end) {
    auto cancelable = options;
    cancelable.canceled = &stopping_;
    // A failure is the database's own: it refuses the next commit by itself, and the next pass comes with the next free.
    return see_through([&] { return database_.CompactRange(cancelable, families_.entries, begin, end); });
}

// `work` may wait for a flush, and RocksDB may forget that flush: one that it has begun by itself, and that syncs the log in front of it, takes whatever was
// asked for meanwhile for done, though it leaves the memtable that was filled last. That one is written when the next is full, and whoever asked waits until
// then: for ever, when nobody writes any more. So this thread watches, and asks again.
bool rocksdb_reclaim::see_through(const std::function<rocksdb::Status()>& work) {
    auto done = std::async(std::launch::async, work);
    auto seen = groups_.load(std::memory_order_relaxed);
    auto waited = false;
    while (done.wait_for(look_every) == std::future_status::timeout) {
        const auto groups = groups_.load(std::memory_order_relaxed);
        const auto waits = groups == std::exchange(seen, groups) && waits_for_a_flush();
        if (waits && waited) {
            ask_for_a_flush();
        }
        waited = waits;
    }
    return done.get().ok();
}

bool rocksdb_reclaim::waits_for_a_flush() const {
    std::uint64_t running = 0;
    database_.GetIntProperty(rocksdb::DB::Properties::kNumRunningFlushes, &running);
    std::uint64_t waiting = 0;
    database_.GetAggregatedIntProperty(rocksdb::DB::Properties::kNumImmutableMemTable, &waiting);
    return waiting > 0 && running == 0;
}

void rocksdb_reclaim::ask_for_a_flush() {
    rocksdb::FlushOptions options;
    options.wait = false;
    options.allow_write_stall = true;
    database_.Flush(options, {families_.own, families_.rows, families_.entries}).PermitUncheckedError();  // refused by a database that failed: then nobody waits
}

}  // namespace millrace::storage
