#include "broker/storage/commit_loop.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace millrace::storage {
namespace {

std::size_t bytes_of(const std::vector<core::mutation>& group) {
    std::size_t bytes = 0;
    for (const auto& mutation : group) {
        if (const auto* append = std::get_if<core::append_entry>(&mutation)) {
            bytes += append->bytes->size();
        } else if (const auto* put = std::get_if<core::put_row>(&mutation)) {
            bytes += put->key.size() + put->value.size();
        }
    }
    return bytes;
}

bool any_to_write(const std::vector<pending_commit>& commits) {
    return std::any_of(commits.begin(), commits.end(), [](const auto& commit) { return !commit.verdict; });
}

void answer(std::vector<pending_commit>& commits) {
    for (auto& commit : commits) {
        commit.done(std::move(commit.verdict));
    }
}

}  // namespace

commit_loop::commit_loop(durable_log& log, bool synced, limits bounds)
    : log_(log), synced_(synced), bounds_(bounds), writer_([this] { run_writer(); }), syncer_([this] { run_syncer(); }) {}

commit_loop::~commit_loop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    to_write_.notify_all();
    writer_.join();
    {
        std::lock_guard lock(mutex_);
        writer_ended_ = true;
    }
    to_sync_.notify_all();
    syncer_.join();
}

void commit_loop::submit(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation> group, store::commit_done done) {
    pending_commit commit{.shard = shard, .group = std::move(group), .done = std::move(done)};
    commit.bytes = bytes_of(commit.group);
    std::unique_lock lock(mutex_);
    commit.generation = generation_;
    commit.verdict = verdict_on(shard, epoch);
    if (may_run_inline(commit)) {
        run_inline(lock, std::move(commit));
        return;
    }
    waiting_.push_back(std::move(commit));
    to_write_.notify_one();
}

void commit_loop::drain() {
    std::unique_lock lock(mutex_);
    became_idle_.wait(lock, [this] { return idle(); });
}

void commit_loop::admit(core::shard_id shard, core::fencing_epoch epoch) {
    std::lock_guard lock(mutex_);
    fences_[shard] = {epoch, generation_};
}

std::uint64_t commit_loop::generation() const {
    std::lock_guard lock(mutex_);
    return generation_;
}

error commit_loop::verdict_on(core::shard_id shard, core::fencing_epoch epoch) const {
    const auto found = fences_.find(shard);
    if (found == fences_.end() || found->second.epoch != epoch) {
        const auto current = found == fences_.end() ? 0 : static_cast<std::uint64_t>(found->second.epoch);
        return {errc::fenced, "shard " + std::to_string(static_cast<std::uint32_t>(shard)) + " is written under epoch " +
                                  std::to_string(current) + ", not " + std::to_string(static_cast<std::uint64_t>(epoch))};
    }
    return found->second.generation == generation_ ? error{} : last_failure_;
}

bool commit_loop::idle() const {
    return waiting_.empty() && written_.empty() && !writing_ && !syncing_ && inline_ == inline_stage::none;
}

bool commit_loop::may_run_inline(const pending_commit& commit) const {
    return idle() && !stopping_ && commit.bytes <= bounds_.inline_bytes && (!synced_ || mean_sync_time_ < bounds_.inline_sync_time);
}

// Other shards' groups may be written meanwhile; only while it answers does the writer wait, so that a group submitted from within this
// done is not answered before it has returned.
void commit_loop::run_inline(std::unique_lock<std::mutex>& lock, pending_commit commit) {
    inline_ = inline_stage::committing;
    lock.unlock();
    std::vector<pending_commit> alone;
    alone.push_back(std::move(commit));
    error unwritten;
    error unsynced;
    if (!alone.front().verdict) {
        unwritten = log_.write(alone);
        if (!unwritten && synced_) {
            unsynced = timed_sync();
        }
    }
    lock.lock();
    if (unwritten) {
        fail(alone, errc::outcome_unknown, unwritten);
    } else if (unsynced) {
        fail_sync(lock, alone, unsynced);
    }
    inline_ = inline_stage::answering;
    lock.unlock();
    answer(alone);
    lock.lock();
    inline_ = inline_stage::none;
    if (stopping_ || !waiting_.empty()) {  // else the writer would be woken after each lone group, for nothing
        to_write_.notify_one();
    }
    became_idle_.notify_all();
}

void commit_loop::run_writer() {
    std::unique_lock lock(mutex_);
    while (true) {
        to_write_.wait(lock, [this] { return inline_ != inline_stage::answering && (stopping_ || !waiting_.empty()); });
        if (waiting_.empty()) {
            return;
        }
        auto commits = take_waiting();
        condemn_stale(commits);
        writing_ = true;
        lock.unlock();
        const error failure = any_to_write(commits) ? log_.write(commits) : error{};
        for (auto& commit : commits) {
            commit.group.clear();  // the bytes are the log's now
        }
        lock.lock();
        if (failure) {
            fail(commits, errc::outcome_unknown, failure);
        }
        writing_ = false;
        write_ended_.notify_all();
        std::move(commits.begin(), commits.end(), std::back_inserter(written_));
        to_sync_.notify_one();
    }
}

void commit_loop::run_syncer() {
    std::unique_lock lock(mutex_);
    while (true) {
        to_sync_.wait(lock, [this] { return writer_ended_ || !written_.empty(); });
        if (written_.empty()) {
            return;
        }
        auto commits = std::exchange(written_, {});
        condemn_stale(commits);
        syncing_ = true;
        lock.unlock();
        const error failure = synced_ && any_to_write(commits) ? timed_sync() : error{};
        if (failure) {
            lock.lock();
            fail_sync(lock, commits, failure);
            lock.unlock();
        }
        answer(commits);
        lock.lock();
        syncing_ = false;
        if (idle()) {
            became_idle_.notify_all();
        }
    }
}

std::vector<pending_commit> commit_loop::take_waiting() {
    std::vector<pending_commit> taken;
    std::size_t bytes = 0;
    while (!waiting_.empty() && (taken.empty() || bytes + waiting_.front().bytes <= bounds_.write_bytes)) {
        bytes += waiting_.front().bytes;
        taken.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
    }
    return taken;
}

// The log failed after these were submitted: whatever became of them, they follow a group whose outcome nobody knows.
void commit_loop::condemn_stale(std::vector<pending_commit>& commits) {
    for (auto& commit : commits) {
        if (!commit.verdict && commit.generation != generation_) {
            commit.verdict = last_failure_;
        }
    }
}

void commit_loop::fail(std::vector<pending_commit>& commits, errc verdict, const error& cause) {
    ++generation_;
    last_failure_ = {verdict, cause.what};
    condemn_stale(commits);
}

// What a log has written may reach its file when it is synced: then a sync may find the disk full. And a write beside a sync that failed is refused, perhaps
// before the sync says so: the log knows which came first.
void commit_loop::fail_sync(std::unique_lock<std::mutex>& lock, std::vector<pending_commit>& commits, const error& cause) {
    write_ended_.wait(lock, [this] { return !writing_; });
    fail(commits, cause.code == errc::sync_failed ? errc::sync_failed : errc::outcome_unknown, cause);
}

// A measured length of time, for the choice between the threads only: nothing about messages depends on it.
error commit_loop::timed_sync() {
    const auto begin = std::chrono::steady_clock::now();
    error failure = log_.sync();
    const auto took = std::chrono::steady_clock::now() - begin;
    std::lock_guard lock(mutex_);
    mean_sync_time_ += (took - mean_sync_time_) / 8;
    return failure;
}

}  // namespace millrace::storage
