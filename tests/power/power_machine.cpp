#include "tests/power/power_machine.hpp"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "broker/check/check.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::power {
namespace {

using sim::violation;

/// Gathers the outcomes of commits that are answered from other threads, in order.
class outcomes {
public:
    explicit outcomes(std::size_t expected) : missing_(expected), all_(expected) {}

    void take(std::size_t which, error outcome) {
        std::lock_guard lock(mutex_);
        all_[which] = std::move(outcome);
        if (--missing_ == 0) complete_.notify_one();
    }
    std::vector<error> wait() {
        std::unique_lock lock(mutex_);
        complete_.wait(lock, [this] { return missing_ == 0; });
        return std::move(all_);
    }

private:
    std::mutex mutex_;
    std::condition_variable complete_;
    std::size_t missing_;
    std::vector<error> all_;
};

}  // namespace

power_machine::power_machine(std::uint64_t seed, std::function<void(power_machine&)> at_rest)
    : random_(seed ^ 0x706f776572), at_rest_(std::move(at_rest)), disk_(std::make_shared<power_disk>(seed)) {}

/// So small that the log is changed, memtables are flushed and tables compacted all the time.
storage::rocksdb_options power_machine::options_on(const std::shared_ptr<power_disk>& disk) {
    storage::rocksdb_options options;
    options.directory = "/store";
    options.memtable_bytes = 64u << 10;
    options.block_cache_bytes = 1u << 20;
    options.log_bytes = 256u << 10;
    options.ballast_bytes = 1u << 20;
    options.file_system = disk;
    return options;
}

// Near and far: half of them fall on what opening does, the others on all that comes later.
void power_machine::plan_faults() {
    if (!faults_) return;
    const auto soon = std::uint64_t{1} << random_.between(4, 10);
    disk_->cut_after(1 + random_.below(soon));
    if (random_.chance(250)) disk_->fail_after(1 + random_.below(soon));
}

bool power_machine::start_engine() {
    engine_.reset();
    if (!disk_->has_power()) disk_->restart();
    if (at_rest_) at_rest_(*this);
    plan_faults();
    auto opened = storage::open_rocksdb_store(options_on(disk_));
    if (opened) {
        engine_ = std::move(opened.value());
        must_restart_ = false;
        ++counts_.restarts;
        return true;
    }
    if (!disk_->has_power()) {
        ++counts_.cuts;
        ++counts_.cuts_while_opening;
    } else if (disk_->took_failure()) {
        ++counts_.failures;
        disk_->cut(cut_kind::process);
    } else {
        throw violation("the store is refused: " + to_string(opened.failure()));
    }
    return false;
}

/// A broker that does not get all its shards open ends: whatever is missing, it opens all of them anew.
std::vector<core::fencing_epoch> power_machine::open(std::uint32_t shards) {
    while (true) {
        if ((must_restart_ || !disk_->has_power()) && !start_engine()) continue;
        std::vector<core::fencing_epoch> epochs;
        error refused;
        while (!refused && epochs.size() < shards) {
            auto epoch = engine_->open(core::shard_id{static_cast<std::uint32_t>(epochs.size())});  // after a commit of unknown outcome it recovers, in the same process
            if (epoch)
                epochs.push_back(epoch.value());
            else
                refused = epoch.failure();
        }
        if (!refused) {
            judge();
            if (disk_->has_power()) return epochs;
        } else if (disk_->has_power() && !disk_->took_failure()) {
            throw violation("a shard does not open: " + to_string(refused));
        }
        if (!disk_->has_power()) ++counts_.cuts, ++counts_.cuts_while_opening;
        else ++counts_.failures, must_restart_ = true, disk_->cut(cut_kind::process);
    }
}

/// A cut may come while it reads: then it says nothing.
void power_machine::judge() {
    try {
        twin_.judge(*engine_, [this] { return disk_->has_power(); });
        if (!disk_->has_power()) return;
        const auto examined = check::examine(*engine_, false);
        if (!examined) throw violation("the store cannot be examined: " + to_string(examined.failure()));
        if (!examined.value().sound()) throw violation("the store contradicts itself: " + check::to_string(examined.value().findings.front()));
    } catch (const violation&) {
        if (disk_->has_power()) throw;
    }
}

std::vector<error> power_machine::commit(std::vector<group> groups) {
    const auto before = twin_.submitted();
    auto results = std::make_shared<outcomes>(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i) {
        twin_.submit(groups[i].mutations);
        engine_->commit(groups[i].shard, groups[i].epoch, std::move(groups[i].mutations), [results, i](error outcome) { results->take(i, std::move(outcome)); });
    }
    auto all = results->wait();
    if (!all.front()) vouched_groups_ = std::exchange(last_groups_, before);
    auto broken = false;
    for (const auto& outcome : all) {
        if (!outcome && broken) throw violation("a group was answered after one in front of it had failed");
        if (!outcome) twin_.answered();
        broken = broken || outcome;
        must_restart_ = must_restart_ || outcome.code == errc::sync_failed;
    }
    if (broken && disk_->has_power()) {
        if (!disk_->took_failure()) throw violation("a commit failed with nothing wrong: " + to_string(all.back()));
        ++counts_.failures;
        counts_.refused_syncs += must_restart_;
    }
    return all;
}

void power_machine::crash(std::vector<group> under_way) {
    if (!disk_->has_power()) {
        ++counts_.cuts;
    } else if (must_restart_) {  // after a sync that failed the process ends
        disk_->cut(cut_kind::process);
        ++counts_.kills;
    } else if (faults_ && random_.chance(800)) {
        under_way.resize(random_.below(under_way.size() + 1));
        for (auto& g : under_way) {
            twin_.submit(g.mutations);
            engine_->commit(g.shard, g.epoch, std::move(g.mutations), [](const error&) {});
        }
        const auto power = random_.chance(500);
        disk_->cut(power ? cut_kind::power : cut_kind::process);
        ++(power ? counts_.cuts : counts_.kills);
    } else {
        ++counts_.orderly_ends;
    }
    stop();
}

void power_machine::stop() {
    engine_.reset();
    must_restart_ = true;
}

void power_machine::end_faults() {
    faults_ = false;
    disk_->disarm();
}

const power_counts& power_machine::counts() {
    counts_.groups = twin_.groups();
    counts_.operations = disk_->operations();
    counts_.reused_logs = disk_->reused();
    return counts_;
}

}  // namespace millrace::power
