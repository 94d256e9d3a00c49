// A store with the manners of a disk in simulated time: commits finish in order and later, reads see one moment and are told at another. What becomes of
// what was under way when the broker ends is the machine's affair.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "broker/driver/driver.hpp"
#include "broker/storage/store.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/machine.hpp"
#include "tests/sim/random.hpp"

namespace millrace::sim {

struct store_manners {
    std::chrono::microseconds commit_min{100};
    std::chrono::microseconds commit_max{3'000};
    std::chrono::microseconds read_max{5'000};
    std::uint64_t failed_commit_in_100000 = 0;
    std::uint64_t side_by_side_in_1000 = 0;  // everything under way is handed to the engine at once
};

class slow_store {
public:
    slow_store(event_queue& events, random_source& random, const store_manners& manners, machine& on)
        : events_(events), random_(random), manners_(manners), machine_(on) {}

    /// Called in an event of its own when the machine has lost power, once: the broker is to crash.
    void when_power_goes(std::function<void()> what) { power_went_ = std::move(what); }

    /// The new epochs of so many shards, and the rows to start from, whatever happens meanwhile.
    struct opened {
        std::vector<core::fencing_epoch> epochs;
        std::vector<core::row> rows;
    };
    opened open(std::uint32_t shards);
    void commit(core::shard_id shard, core::fencing_epoch epoch, core::group group, std::function<void(core::group_number, error)> done);
    void read(const driver::read_request& request, std::function<void(result<std::vector<storage::stored_entry>>)> done);
    void scan(const driver::scan_request& request, std::function<void(result<std::vector<core::row>>)> done);

    /// What the disk has; none: it says nothing. What is stored takes of it until it is set again.
    void set_disk(std::optional<storage::disk_space> disk) { disk_ = disk; }
    const std::optional<storage::disk_space>& space() const { return disk_; }

    /// The broker is gone: nobody is told anything more.
    void crash();

    /// As a reader sees it now. REQUIRES that the machine has power.
    std::vector<storage::stored_entry> entries(core::partition_id partition) { return machine_.engine().read(partition, {}, ~std::size_t{0}).value(); }
    std::vector<core::row> rows(const core::row_range& range) { return machine_.engine().scan(range, ~std::size_t{0}).value(); }
    durability level() const { return machine_.level(); }

private:
    struct pending_group {
        core::shard_id shard{};
        core::fencing_epoch epoch{};
        core::group group;
        std::function<void(core::group_number, error)> done;
    };

    void apply_next();
    template <class Find, class Done>
    void look(Find find, Done done);
    void tell(pending_group applied, error outcome);
    bool lost_power();
    void take_room(const core::group& group);

    event_queue& events_;
    random_source& random_;
    const store_manners& manners_;
    machine& machine_;
    std::function<void()> power_went_;
    std::optional<storage::disk_space> disk_;
    std::deque<pending_group> pending_;
    timestamp last_applied_, last_told_;
    bool failed_ = false;
    std::uint64_t life_ = 0;
};

}  // namespace millrace::sim
