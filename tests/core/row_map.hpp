// The smallest store: rows and entry indexes in maps, with every mutation applied at once. What a shard is recovered from in transcripts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "broker/core/effect.hpp"
#include "broker/core/mutation.hpp"

namespace millrace::core::testing {

class row_map {
public:
    /// Applies a group. What an engine would not forgive is noted in breaches().
    void apply(const std::vector<mutation>& group);

    /// The rows of `range` in key order, at most `limit`.
    std::vector<row> scan(const row_range& range, std::size_t limit) const;

    /// Entries from the one that holds `from` on: one, then as many as stay within `bytes`.
    std::vector<shared_index> read(partition_id partition, sequence from, std::uint64_t bytes) const;

    const std::map<std::string, std::string>& rows() const { return rows_; }
    const std::map<partition_id, std::map<sequence, shared_index>>& entries() const { return entries_; }

    /// Entries appended twice, freed twice, or freed by nobody's right.
    const std::vector<std::string>& breaches() const { return breaches_; }

private:
    void apply(const append_entry& m);
    void apply(const free_entry& m);
    void apply(const drop_partition& m) { entries_.erase(m.partition); }
    void apply(const put_row& m) { rows_[m.key] = m.value; }
    void apply(const erase_row& m) { rows_.erase(m.key); }
    void apply(const erase_rows& m) { rows_.erase(rows_.lower_bound(m.range.begin), rows_.lower_bound(m.range.end)); }

    std::map<std::string, std::string> rows_;
    std::map<partition_id, std::map<sequence, shared_index>> entries_;
    std::vector<std::string> breaches_;
};

}  // namespace millrace::core::testing
