// What a store must hold: every group that was answered, and of those that were under way when it ended a front, whole groups.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "broker/storage/store.hpp"

namespace millrace::power {

class twin {
public:
    twin();

    /// A group is handed to the store, behind those before.
    void submit(std::vector<core::mutation> group);
    /// The oldest group under way was answered well.
    void answered() { apply_next(); }

    /// Holds `found` against this, as it must be after whatever happened: takes over as many of the groups under way as it holds, and forgets the others. What
    /// was read while `has_power` became false says nothing: then all stays as it is. Throws sim::violation, naming the differences.
    void judge(storage::store& found, const std::function<bool()>& has_power);

    /// Whether these bytes were ever handed over for that place.
    bool has_written(core::partition_id partition, sequence last, const std::vector<std::byte>& bytes) const;

    std::uint64_t groups() const { return applied_; }
    std::uint64_t submitted() const { return submitted_; }
    /// Whether the entry came with a group after the first `groups` ones.
    std::string words_of(core::partition_id partition, sequence last) const;
    bool is_later(core::partition_id partition, sequence last, std::uint64_t groups) const;
    const std::set<core::partition_id>& partitions() const { return partitions_; }

private:
    void apply_next();

    std::unique_ptr<storage::store> engine_;
    core::fencing_epoch epoch_{};
    std::deque<std::vector<core::mutation>> under_way_;
    std::set<core::partition_id> partitions_;
    std::set<std::tuple<core::partition_id, sequence, std::uint64_t>> written_;  // by hash; of what was lost unanswered its sequence is given again
    std::map<std::pair<core::partition_id, sequence>, std::uint64_t> group_of_;  // by their number in the order of submission
    std::uint64_t submitted_ = 0;
    std::uint64_t applied_ = 0;
};

/// The first difference between two stores in the rows and in these partitions, in words; empty when they hold the same. Throws
/// sim::violation when one cannot be read.
std::string difference(storage::store& found, storage::store& expected, const std::set<core::partition_id>& partitions);

inline const core::row_range all_rows{std::string{}, std::string(64, '\xff')};

}  // namespace millrace::power
