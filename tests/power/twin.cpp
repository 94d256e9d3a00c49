#include "tests/power/twin.hpp"

#include <algorithm>

#include "broker/storage/memory_store.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::power {
namespace {

constexpr core::shard_id the_shard{0};
constexpr std::size_t everything = std::size_t{1} << 40;

std::uint64_t hash_of(const std::vector<std::byte>& bytes) {
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string hex_of(const std::string& key) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text(1, key.empty() ? '?' : key[0]);  // rows begin with the letter of their table
    for (std::size_t i = 1; i < key.size(); ++i) {
        text += digits[static_cast<unsigned char>(key[i]) >> 4];
        text += digits[static_cast<unsigned char>(key[i]) & 15];
    }
    return text;
}

std::string difference_of_rows(const std::vector<core::row>& found, const std::vector<core::row>& expected) {
    for (std::size_t i = 0; i < std::max(found.size(), expected.size()); ++i) {
        if (i == found.size() || (i < expected.size() && found[i].key > expected[i].key)) return "row " + hex_of(expected[i].key) + " is missing";
        if (i == expected.size() || found[i].key < expected[i].key) return "row " + hex_of(found[i].key) + " should not be there";
        if (found[i].value != expected[i].value) return "row " + hex_of(found[i].key) + " has another value";
    }
    return {};
}

std::string difference_of_entries(const std::vector<storage::stored_entry>& found, const std::vector<storage::stored_entry>& expected) {
    for (std::size_t i = 0; i < std::max(found.size(), expected.size()); ++i) {
        if (i < found.size() && !found[i].damage.empty()) return "the entry up to " + std::to_string(found[i].last.value) + " is damaged: " + found[i].damage;
        if (i == found.size() || (i < expected.size() && found[i].last > expected[i].last))
            return "the entry up to " + std::to_string(expected[i].last.value) + " is missing";
        if (i == expected.size() || found[i].last < expected[i].last) return "the entry up to " + std::to_string(found[i].last.value) + " should not be there";
        if (*found[i].bytes != *expected[i].bytes) return "the entry up to " + std::to_string(found[i].last.value) + " has other bytes";
    }
    return {};
}

}  // namespace

std::string difference(storage::store& found, storage::store& expected, const std::set<core::partition_id>& partitions) {
    const auto rows = found.scan(all_rows, everything);
    if (!rows) throw sim::violation("rows cannot be read: " + to_string(rows.failure()));
    if (auto differs = difference_of_rows(rows.value(), expected.scan(all_rows, everything).value()); !differs.empty()) return differs;
    for (const auto& p : partitions) {
        const auto entries = found.read(p, {}, everything);
        if (!entries) throw sim::violation("entries cannot be read: " + to_string(entries.failure()));
        auto differs = difference_of_entries(entries.value(), expected.read(p, {}, everything).value());
        if (!differs.empty()) return "topic " + std::to_string(static_cast<std::uint32_t>(p.topic)) + " partition " + std::to_string(p.index) + ": " + differs;
    }
    return {};
}

twin::twin() : engine_(storage::make_memory_store()), epoch_(engine_->open(the_shard).value()) {}

void twin::submit(std::vector<core::mutation> group) {
    ++submitted_;
    for (const auto& m : group)
        if (const auto* append = std::get_if<core::append_entry>(&m)) {
            partitions_.insert(append->partition);
            written_.emplace(append->partition, append->last, hash_of(*append->bytes));
            group_of_[{append->partition, append->last}] = submitted_;
        }
    under_way_.push_back(std::move(group));
}

bool twin::has_written(core::partition_id partition, sequence last, const std::vector<std::byte>& bytes) const {
    return written_.contains({partition, last, hash_of(bytes)});
}

std::string twin::words_of(core::partition_id partition, sequence last) const {
    return "group " + std::to_string(group_of_.at({partition, last})) + " of " + std::to_string(submitted_) + ", " + std::to_string(applied_) + " held";
}

bool twin::is_later(core::partition_id partition, sequence last, std::uint64_t groups) const {
    return group_of_.at({partition, last}) > groups;
}

void twin::apply_next() {
    engine_->commit(the_shard, epoch_, std::move(under_way_.front()), [](const error& refused) {
        if (refused) throw sim::violation("the twin refused a group: " + to_string(refused));
    });
    under_way_.pop_front();
    ++applied_;
}

void twin::judge(storage::store& found, const std::function<bool()>& has_power) {
    std::string differs;
    for (const auto front = applied_ + under_way_.size();; apply_next()) {
        const auto at = difference(found, *engine_, partitions_);
        if (!has_power()) return;
        if (at.empty()) {
            under_way_.clear();
            return;
        }
        differs += (differs.empty() ? "" : "; and with " + std::to_string(applied_) + " groups: ") + at;
        if (applied_ == front) break;
    }
    throw sim::violation("the store holds neither what was answered nor that and a front of what was under way: " + differs);
}

}  // namespace millrace::power
