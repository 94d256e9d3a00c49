// The simulator's broker on the real RocksDB engine and a disk that loses power. After each restart the store is held against its twin and examined; what
// clients saw is judged by the simulator's checker as ever.
//
//   world ─► broker_host ─► slow_store ─► power_machine ─► rocksdb_store ─► power_disk
//                                              └─► twin: what was answered
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/storage/rocksdb_store.hpp"
#include "tests/power/power_disk.hpp"
#include "tests/power/twin.hpp"
#include "tests/sim/machine.hpp"

namespace millrace::power {

struct power_counts {
    std::uint64_t cuts = 0;              // of the power, wherever
    std::uint64_t cuts_while_opening = 0;
    std::uint64_t kills = 0;             // the process alone ended
    std::uint64_t failures = 0;          // a write or a sync that failed
    std::uint64_t refused_syncs = 0;     // of them, what ended the broker with sync_failed
    std::uint64_t orderly_ends = 0;
    std::uint64_t restarts = 0;
    std::uint64_t groups = 0;
    std::uint64_t operations = 0;
    std::uint64_t reused_logs = 0;       // written over a dead one
};

class power_machine final : public sim::machine {
public:
    /// `at_rest` is called whenever no store is open on the disk, before one is opened again.
    explicit power_machine(std::uint64_t seed, std::function<void(power_machine&)> at_rest = {});

    durability level() const override { return durability::disk; }
    storage::store& engine() override { return *engine_; }
    std::vector<core::fencing_epoch> open(std::uint32_t shards) override;
    std::vector<error> commit(std::vector<group> groups) override;
    void crash(std::vector<group> under_way) override;
    bool has_power() const override { return disk_->has_power(); }
    void end_faults() override;

    const power_counts& counts();
    power_disk& disk() { return *disk_; }
    twin& expected() { return twin_; }
    /// So many groups from the front are vouched for: the log says of them that they were synced, for others were written behind them.
    std::uint64_t vouched_groups() const { return vouched_groups_; }
    /// Ends the engine in order; open() starts it again.
    void stop();

    static storage::rocksdb_options options_on(const std::shared_ptr<power_disk>& disk);

private:
    void plan_faults();
    bool start_engine();
    void judge();

    sim::random_source random_;
    const std::function<void(power_machine&)> at_rest_;
    std::shared_ptr<power_disk> disk_;
    twin twin_;
    power_counts counts_;
    std::uint64_t vouched_groups_ = 0, last_groups_ = 0;  // before the last two calls of commit() that were answered well
    bool faults_ = true;
    bool must_restart_ = true;  // the store is not what it was: power, process or a failed sync
    std::unique_ptr<storage::store> engine_;  // last: it ends before the disk does
};

}  // namespace millrace::power
