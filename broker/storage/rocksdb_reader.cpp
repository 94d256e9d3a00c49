#include "broker/storage/rocksdb_reader.hpp"

#include <memory>
#include <utility>

#include "broker/storage/rocksdb_error.hpp"
#include "broker/storage/rocksdb_keys.hpp"

namespace millrace::storage {
namespace {

constexpr std::uint64_t probes_max = 1u << 20;   // of sequences for the end of a damaged entry
constexpr std::uint64_t damaged_max = 4096;      // of sequences that answer with damage, in one read

core::entry_bytes copy_of(const rocksdb::Slice& value) {
    const auto* begin = reinterpret_cast<const std::byte*>(value.data());
    return std::make_shared<const std::vector<std::byte>>(begin, begin + value.size());
}

// Of one partition, or of a range of rows. The upper bound keeps the iterator out of what comes next, whose tombstones it would walk to find nothing.
//
// Until RocksDB 8.5.2 an iterator that steps over a range tombstone forgets that it could not read a block, and goes on behind it without a word. So what must
// not be missed is read without looking at them.
rocksdb::ReadOptions within(const rocksdb::Slice& bound, bool sees_range_tombstones) {
    rocksdb::ReadOptions options;
    options.iterate_upper_bound = &bound;
    options.ignore_range_deletions = !sees_range_tombstones;
    return options;
}

}  // namespace

result<std::vector<stored_entry>> rocksdb_reader::read(core::partition_id partition, sequence from, std::size_t max_bytes) {
    auto found = read_page(partition, from, max_bytes, false);
    if (!found || found.value().empty() || !found.value().front().bytes) {
        return found;
    }
    return stands(partition, found.value().front().last) ? std::move(found) : read_page(partition, from, max_bytes, true);
}

// Asks by a Get of the entry that ends in `last`, which sees range tombstones, and reads the entry again: so once for a partition.
bool rocksdb_reader::stands(core::partition_id partition, sequence last) {
    std::unique_lock lock(mutex_);
    if (standing_.contains(partition)) {
        return true;
    }
    const auto drops = drops_;
    lock.unlock();
    rocksdb::PinnableSlice value;
    const auto status = database_.Get({}, entries_, entry_key(partition, last), &value);
    if (status.IsNotFound()) {
        return false;  // or just freed
    }
    lock.lock();
    if (status.ok() && drops == drops_) {
        standing_.insert(partition);
    }
    return true;
}

void rocksdb_reader::note(const std::vector<core::mutation>& group) {
    for (const auto& mutation : group) {
        if (const auto* dropped = std::get_if<core::drop_partition>(&mutation)) {
            std::lock_guard lock(mutex_);
            ++drops_;
            standing_.erase(dropped->partition);
        }
    }
}

result<std::vector<stored_entry>> rocksdb_reader::read_page(core::partition_id partition, sequence from, std::size_t max_bytes, bool sees_range_tombstones) {
    const auto end = entry_keys_end(partition);
    const rocksdb::Slice bound(end);
    const std::unique_ptr<rocksdb::Iterator> at(database_.NewIterator(within(bound, sees_range_tombstones), entries_));
    std::vector<stored_entry> found;
    std::size_t bytes = 0;
    for (at->Seek(entry_key(partition, from)); at->Valid(); at->Next()) {
        bytes += at->value().size();
        if (!found.empty() && bytes > max_bytes) {
            break;
        }
        stored_entry entry;
        if (!parse_entry_key(at->key().ToStringView(), entry.last)) {
            return error{errc::corruption, "an entry's key has " + std::to_string(at->key().size()) + " bytes"};
        }
        entry.bytes = copy_of(at->value());
        found.push_back(std::move(entry));
        if (bytes + found.back().bytes->size() > max_bytes) {
            break;  // the next one, if it is like this one, would be read from the disk only to be left
        }
    }
    if (at->status().ok() || !found.empty()) {
        return found;  // what is bad behind these is met again by the read that begins there
    }
    if (!at->status().IsCorruption()) {
        return error_of(at->status(), "entries cannot be read");
    }
    auto damaged = read_damaged(partition, from);
    if (!damaged || !damaged.value().empty()) {
        return damaged;
    }
    if (!sees_range_tombstones) {
        return read_page(partition, from, max_bytes, true);  // what is damaged is no key any more: it was dropped with its partition
    }
    return error{errc::corruption, "entries cannot be read, nor where they end: " + at->status().ToString()};
}

// An iterator stops at what it cannot read and does not say how far that goes. Every sequence is asked for as a key of its own: most are none, which costs
// an index block; the first that is damaged is the entry's last, and with a damaged block of references so is every one that it covers, perhaps to the end of
// the partition and beyond: then the caller comes again, as far as there are messages. Nothing, when none of them is damaged.
result<std::vector<stored_entry>> rocksdb_reader::read_damaged(core::partition_id partition, sequence from) {
    std::vector<stored_entry> found;
    std::uint64_t damaged = 0;
    for (auto at = from; at - from < probes_max && damaged < damaged_max; at = at + 1) {
        rocksdb::PinnableSlice value;
        const auto status = database_.Get({}, entries_, entry_key(partition, at), &value);
        if (status.IsNotFound()) {
            continue;
        }
        if (status.ok()) {  // can be read alone, though the iterator could not come here
            found.push_back({at, copy_of(value), {}});
            return found;
        }
        if (!status.IsCorruption()) {
            return error_of(status, "entries cannot be read");
        }
        ++damaged;
        found.assign(1, {at, nullptr, status.ToString()});
        if (read_next(partition, at + 1, found)) {
            return found;
        }
    }
    return found;
}

// Appends the entry that comes next, if there is one. False when that cannot be said.
bool rocksdb_reader::read_next(core::partition_id partition, sequence from, std::vector<stored_entry>& found) {
    const auto end = entry_keys_end(partition);
    const rocksdb::Slice bound(end);
    const std::unique_ptr<rocksdb::Iterator> at(database_.NewIterator(within(bound, false), entries_));
    at->Seek(entry_key(partition, from));
    sequence last;
    if (at->Valid() && parse_entry_key(at->key().ToStringView(), last)) {
        found.push_back({last, copy_of(at->value()), {}});
    }
    return at->status().ok();
}

result<std::vector<core::row>> rocksdb_reader::scan(const core::row_range& range, std::size_t limit) {
    std::vector<core::row> found;
    if (limit == 0 || range.begin >= range.end) {
        return found;
    }
    const rocksdb::Slice bound(range.end);
    const std::unique_ptr<rocksdb::Iterator> at(database_.NewIterator(within(bound, true), rows_));
    for (at->Seek(range.begin); at->Valid() && found.size() < limit; at->Next()) {
        found.push_back({at->key().ToString(), at->value().ToString()});
    }
    const std::unique_ptr<rocksdb::Iterator> again(database_.NewIterator(within(bound, false), rows_));
    for (again->Seek(range.begin); again->Valid() && (found.size() < limit || again->key().compare(found.back().key) <= 0); again->Next()) {
    }
    if (!at->status().ok() || !again->status().ok()) {
        return error_of(at->status().ok() ? again->status() : at->status(), "rows cannot be read");
    }
    return found;
}

}  // namespace millrace::storage
