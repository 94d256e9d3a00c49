// The commit loop: turns the groups of all shards into few writes and fewer syncs of one log. Drawn in README.md of this folder.
//
// Under load a writer thread writes the groups that wait while a sync thread makes those written before durable and answers them. A lone small
// group is written, synced and answered on the calling thread, while syncs are fast. There is no engine in here: what it writes to is behind
// durable_log, so order, failure and fencing are tested step by step without a disk.
//
// A failed write or sync poisons every shard, for they share the log: what is under way and all that follows is outcome_unknown, after a sync
// sync_failed, until the shard is admitted again. Nothing is ever retried.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "broker/storage/store.hpp"

namespace millrace::storage {

/// A submitted group on its way to its answer.
struct pending_commit {
    core::shard_id shard{};
    std::vector<core::mutation> group;
    store::commit_done done;
    std::size_t bytes = 0;          // of keys and values
    std::uint64_t generation = 0;   // of the log, when it was submitted
    error verdict{};                // set: answered with this, in its turn, and not written
};

/// The log under the loop. write() may be called from two threads at once, and beside sync().
class durable_log {
public:
    virtual ~durable_log() = default;

    /// Applies the groups without a verdict, in order, as one atomic piece; durable after the next sync().
    virtual error write(std::span<const pending_commit> groups) = 0;

    /// Makes everything written before the call durable. sync_failed: the disk did not confirm, whatever became of a write beside it. Any other error
    /// is a write's, for what was written may reach the disk only now.
    virtual error sync() = 0;
};

class commit_loop {
public:
    struct limits {
        std::size_t inline_bytes = 64u << 10;             // a lone group up to this runs on the calling thread
        std::chrono::microseconds inline_sync_time{1000};  // … while a sync takes less than this on average
        std::size_t write_bytes = 1u << 20;               // waiting groups share a write up to this
    };

    /// Without `synced`, sync() is never called: the level promises no more than a write. `log` outlives the loop.
    commit_loop(durable_log& log, bool synced, limits bounds);
    commit_loop(durable_log& log, bool synced) : commit_loop(log, synced, limits{}) {}

    /// Finishes what is under way.
    ~commit_loop();

    commit_loop(const commit_loop&) = delete;
    commit_loop& operator=(const commit_loop&) = delete;

    /// From one thread per shard; also from within a done.
    void submit(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation> group, store::commit_done done);

    /// Waits until nothing is under way. Not from within a done.
    void drain();

    /// From now on `shard` commits under `epoch` alone. REQUIRES: the log works again if it had failed.
    void admit(core::shard_id shard, core::fencing_epoch epoch);

    /// Counts the failures of the log: a number seen before means that it has not failed since.
    std::uint64_t generation() const;

private:
    struct fence {
        core::fencing_epoch epoch{};
        std::uint64_t generation = 0;
    };
    enum class inline_stage { none, committing, answering };

    error verdict_on(core::shard_id shard, core::fencing_epoch epoch) const;
    bool may_run_inline(const pending_commit& commit) const;
    bool idle() const;
    void run_inline(std::unique_lock<std::mutex>& lock, pending_commit commit);
    void run_writer();
    void run_syncer();
    std::vector<pending_commit> take_waiting();
    void condemn_stale(std::vector<pending_commit>& commits);
    void fail(std::vector<pending_commit>& commits, errc verdict, const error& cause);
    void fail_sync(std::unique_lock<std::mutex>& lock, std::vector<pending_commit>& commits, const error& cause);
    error timed_sync();

    durable_log& log_;
    const bool synced_;
    const limits bounds_;

    mutable std::mutex mutex_;
    std::condition_variable to_write_;
    std::condition_variable to_sync_;
    std::condition_variable write_ended_;
    std::condition_variable became_idle_;
    std::map<core::shard_id, fence> fences_;
    std::deque<pending_commit> waiting_;
    std::vector<pending_commit> written_;
    inline_stage inline_ = inline_stage::none;
    bool writing_ = false;
    bool syncing_ = false;
    bool stopping_ = false;
    bool writer_ended_ = false;
    std::uint64_t generation_ = 1;
    error last_failure_;
    std::chrono::nanoseconds mean_sync_time_{0};

    std::thread writer_;
    std::thread syncer_;
};

}  // namespace millrace::storage
