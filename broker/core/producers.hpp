// Named producers: who may publish under a name, and which of its batches have been taken, so that a batch sent twice is stored once.
//
// State is kept per (producer, partition): the last 5 batches. A larger producer epoch, given at each opening, shuts earlier incarnations out. Unnamed
// producers have no state. A producer that has been idle for 7 days is forgotten.
//
// Where a broker has several shards, each knows all producers and judges their batches for its own topics; the first shard opens them, stores them, and
// finds out who has been idle.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/core/identity.hpp"
#include "broker/core/mutation.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

/// A batch as its producer numbers it.
struct batch_claim {
    producer_id producer{};   // zero: unnamed
    std::uint32_t epoch = 0;
    std::uint64_t number = 0;  // from 1, without gaps, per partition
    std::uint32_t checksum = 0;

    bool is_named() const { return producer != producer_id{}; }
    bool operator==(const batch_claim&) const = default;
};

struct producer_position {
    partition_id partition;
    std::uint64_t last_number = 0;

    bool operator==(const producer_position&) const = default;
};

class producers {
public:
    static constexpr std::size_t remembered_batches = 5;
    static constexpr auto idle_max = std::chrono::hours{24 * 7};

    explicit producers(shard_place place = {}) : place_(place) {}

    /// Whether `incarnation` may open `name` again without fencing anybody else. A producer that is not known (any more) may be. Errors: producer_fenced.
    error judge_return(const std::string& name, std::uint64_t incarnation) const;

    /// Opens `name` under its next epoch; `next_id` is given to a new one and then counted up.
    struct opened {
        producer_id id{};
        std::uint32_t epoch = 0;
        std::vector<producer_position> positions;
    };
    opened open(const std::string& name, std::uint64_t incarnation, timestamp now, std::uint64_t& next_id);

    /// What a claim means: taken before (then the first sequence it got), new, or refused.
    /// Errors: no_such_producer, producer_fenced, batch_mismatch, batch_gap.
    struct verdict {
        std::optional<sequence> seen;
        error refused;
    };
    verdict judge(const batch_claim& claim, partition_id partition) const;

    /// The batch was taken at `first`.
    void taken(const batch_claim& claim, partition_id partition, sequence first, timestamp now);

    /// The first shard has opened it. Returns its positions here.
    std::vector<producer_position> learn(producer_id id, const std::string& name, std::uint32_t epoch, std::uint64_t incarnation, timestamp now);

    /// Another shard has it in use.
    void note_use(producer_id id, timestamp now);

    void forget_topic(topic_id topic);

    /// Producers that have been idle for too long, as far as the first shard knows; the others say nothing.
    std::vector<producer_id> idle(timestamp now) const;

    /// Errors: in_use, when it was used here meanwhile.
    error forget(producer_id id, timestamp now);

    bool has_changes() const { return !changed_.empty() || !changed_positions_.empty(); }
    /// Appends what has changed since the last call.
    void take_changes(std::vector<mutation>& out);

    /// A row of table 'N' or 'Q'. Errors: corruption.
    error recover(const row& r);

private:
    struct batch {
        std::uint64_t number = 0;
        sequence first;
        std::uint32_t checksum = 0;
    };
    struct producer {
        std::string name;
        std::uint32_t epoch = 0;
        std::uint64_t incarnation = 0;  // who opened it last; 0: said nothing
        timestamp used_at;
        std::map<partition_id, std::vector<batch>> positions;  // at most remembered_batches, ascending
    };
    using position_key = std::pair<producer_id, partition_id>;

    bool is_first() const { return place_.index == 0; }
    std::vector<producer_position> positions_of(const producer& p) const;
    static std::string key_of(producer_id id);
    static std::string key_of(const position_key& id);

    shard_place place_;
    std::map<producer_id, producer> producers_;
    std::map<std::string, producer_id> names_;
    std::set<producer_id> changed_;
    std::set<position_key> changed_positions_;
};

}  // namespace millrace::core
