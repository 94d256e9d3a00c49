// Private: one pass over a store, table by table: what is found, and the mutations that would put it right.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "broker/check/check.hpp"
#include "broker/core/mutation.hpp"
#include "broker/core/row.hpp"

namespace millrace::check {

/// Messages of one partition that the store has, as runs: first → last.
class message_runs {
public:
    /// REQUIRES that runs come in order.
    void add(sequence first, sequence last);
    bool contains(sequence s) const;
    /// How many of first .. before `end` are here.
    std::uint64_t count(sequence first, sequence end) const;

private:
    std::map<sequence, sequence> runs_;
};

class examination {
public:
    explicit examination(storage::store& store) : store_(store) {}

    /// Errors: the store cannot be read.
    error run();

    report& found() { return report_; }
    std::vector<core::mutation> take_remedies();

private:
    struct partition_state {
        bool is_stored = false;  // there is a log row that can be read
        core::log_row log;
        message_runs messages;
    };
    struct topic_state {
        core::topic_row row;
        std::map<std::uint32_t, partition_state> partitions;
    };
    /// The rows of one subscription, of whatever kind.
    struct subscription_state {
        core::subscription_row row;
        std::map<std::uint32_t, std::vector<core::row>> progress, failures, hand_overs, blocks;  // by partition
    };

    void find(place where, std::string what, std::string remedy, std::vector<core::mutation> how = {});
    void erase(const core::row& r, place where, std::string what, std::string remedy);
    void put(core::row r);

    // catalog.cpp
    error read_rows();
    void take_row(core::row&& r);
    void examine_catalog();
    void examine_topics();
    void examine_names();
    void examine_subscriptions();
    void examine_meta();
    topic_state& recovered_topic(core::topic_id id, const std::string& why);
    place place_of(const topic_state& t, std::uint32_t partition) const;

    // entries.cpp
    error examine_entries(topic_state& t, std::uint32_t index);
    void examine_log(topic_state& t, std::uint32_t index, const struct entry_sums& sums);

    // progress.cpp
    void examine_progress(subscription_state& s, const topic_state& t, std::uint32_t index);

    // producers.cpp
    void examine_producers();

    storage::store& store_;
    report report_;
    std::map<std::string, core::mutation> remedies_;  // by the row or entry that they change: the last one counts

    std::optional<core::row> meta_;
    std::map<core::topic_id, topic_state> topics_;
    std::map<core::subscription_id, subscription_state> subscriptions_;
    std::vector<core::row> topic_rows_, subscription_rows_, log_rows_, own_rows_, producer_rows_;
};

}  // namespace millrace::check
