// The memory store with the manners of a disk: commits finish in order and later, reads see one moment and are told at another, and a crash keeps
// of what was under way whole groups from the front, or nothing.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "broker/driver/driver.hpp"
#include "broker/storage/store.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/random.hpp"

namespace millrace::sim {

struct store_manners {
    std::chrono::microseconds commit_min{100};
    std::chrono::microseconds commit_max{3'000};
    std::chrono::microseconds read_max{5'000};
    std::uint64_t failed_commit_in_100000 = 0;
};

class slow_store {
public:
    slow_store(event_queue& events, random_source& random, const store_manners& manners);

    core::fencing_epoch open();
    void commit(core::fencing_epoch epoch, core::group group, std::function<void(core::group_number, error)> done);
    void read(const driver::read_request& request, std::function<void(result<std::vector<storage::stored_entry>>)> done);
    void scan(const driver::scan_request& request, std::function<void(result<std::vector<core::row>>)> done);

    /// The broker is gone: nobody is told anything more.
    void crash();

    /// As a reader sees it now.
    std::vector<storage::stored_entry> entries(core::partition_id partition) { return engine_->read(partition, {}, ~std::size_t{0}).value(); }
    std::vector<core::row> rows(const core::row_range& range) { return engine_->scan(range, ~std::size_t{0}).value(); }
    durability level() const { return engine_->level(); }

private:
    struct pending_group {
        core::fencing_epoch epoch{};
        core::group group;
        std::function<void(core::group_number, error)> done;
    };

    void apply_next();

    event_queue& events_;
    random_source& random_;
    const store_manners& manners_;
    std::unique_ptr<storage::store> engine_;
    std::deque<pending_group> pending_;
    timestamp last_applied_, last_told_;
    bool failed_ = false;
    std::uint64_t life_ = 0;
};

}  // namespace millrace::sim
