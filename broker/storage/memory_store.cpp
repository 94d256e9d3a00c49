#include "broker/storage/memory_store.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace millrace::storage {
namespace {

// The contract is the caller's to keep; the exact engine is where a breach shows, before another engine makes it a riddle.
[[noreturn]] void breach(const char* what, core::partition_id partition, sequence last) {
    std::fprintf(stderr, "memory store: %s: topic %u, partition %u, last sequence %llu\n", what, static_cast<unsigned>(partition.topic),
                 partition.index, static_cast<unsigned long long>(last.value));
    std::abort();
}

class memory_store final : public store {
public:
    durability level() const override { return durability::memory; }

    result<core::fencing_epoch> open(core::shard_id shard) override {
        std::lock_guard lock(mutex_);
        return core::fencing_epoch{++epochs_[shard]};
    }

    void commit(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation> group, commit_done done) override {
        error refused = apply_all(shard, epoch, group);
        done(std::move(refused));
    }

    result<std::vector<stored_entry>> read(core::partition_id partition, sequence from, std::size_t max_bytes) override {
        std::lock_guard lock(mutex_);
        std::vector<stored_entry> found;
        const auto entries = entries_.find(partition);
        if (entries == entries_.end()) {
            return found;
        }
        std::size_t bytes = 0;
        for (auto entry = entries->second.lower_bound(from); entry != entries->second.end(); ++entry) {
            bytes += entry->second->size();
            if (!found.empty() && bytes > max_bytes) {
                break;
            }
            found.push_back({entry->first, entry->second});
        }
        return found;
    }

    result<std::vector<core::row>> scan(const core::row_range& range, std::size_t limit) override {
        std::lock_guard lock(mutex_);
        std::vector<core::row> found;
        for (auto row = rows_.lower_bound(range.begin); row != rows_.end() && row->first < range.end && found.size() < limit; ++row) {
            found.push_back({row->first, row->second});
        }
        return found;
    }

    error checkpoint(const std::filesystem::path&) override {
        return {errc::invalid_argument, "a memory: store has no files to copy; use --store rocksdb:DIR"};
    }

    std::optional<disk_space> space() override { return std::nullopt; }

private:
    error apply_all(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation>& group) {
        std::lock_guard lock(mutex_);
        const auto current = epochs_.find(shard);
        if (current == epochs_.end() || core::fencing_epoch{current->second} != epoch) {
            return {errc::fenced, "shard " + std::to_string(static_cast<std::uint32_t>(shard)) + " is written under another epoch than " +
                                      std::to_string(static_cast<std::uint64_t>(epoch))};
        }
        for (auto& mutation : group) {
            std::visit([this](auto& one) { apply(one); }, mutation);
        }
        return {};
    }

    void apply(core::append_entry& append) {
        if (!entries_[append.partition].emplace(append.last, std::move(append.bytes)).second) {
            breach("an entry was appended over another", append.partition, append.last);
        }
    }

    void apply(const core::free_entry& freed) {
        const auto entries = entries_.find(freed.partition);
        if (entries == entries_.end() || entries->second.erase(freed.last) == 0) {
            breach("an entry was freed that is not there", freed.partition, freed.last);
        }
    }

    void apply(const core::drop_partition& dropped) { entries_.erase(dropped.partition); }

    void apply(core::put_row& put) { rows_.insert_or_assign(std::move(put.key), std::move(put.value)); }

    void apply(const core::erase_row& erased) { rows_.erase(erased.key); }

    void apply(const core::erase_rows& erased) {
        if (erased.range.begin < erased.range.end) {
            rows_.erase(rows_.lower_bound(erased.range.begin), rows_.lower_bound(erased.range.end));
        }
    }

    std::mutex mutex_;
    std::map<core::shard_id, std::uint64_t> epochs_;
    std::map<core::partition_id, std::map<sequence, core::entry_bytes>> entries_;
    std::map<std::string, std::string> rows_;
};

}  // namespace

std::unique_ptr<store> make_memory_store() {
    return std::make_unique<memory_store>();
}

}  // namespace millrace::storage
