#include "tests/process/job_ledger.hpp"

#include <algorithm>
#include <iostream>

#include "tests/process/child_process.hpp"

namespace millrace::process {

message job_ledger::new_job() {
    const std::lock_guard lock(mutex_);
    jobs_.emplace_back();
    ++sums_.published;
    return {.payload = std::to_string(jobs_.size() - 1)};
}

void job_ledger::publish_answered() {
    const std::lock_guard lock(mutex_);
    ++sums_.answered;
    changed_.notify_all();
}

job_id job_ledger::begin(const client::delivery& d, const std::string& worker) {
    const std::lock_guard lock(mutex_);
    const job_id id = std::stoull(d.message.payload);
    auto& j = jobs_.at(id);
    if (!j.worker.empty())
        violate_locked("job " + std::to_string(id) + " at " + std::to_string(d.partition) + "/" + std::to_string(d.sequence.value) + ", begun by " +
                       j.worker + " in attempt " + std::to_string(j.attempt) + (j.ended ? " and ended," : " and running through ") +
                       (j.ended ? "" : std::to_string(j.kills) + " kills,") + " was given to " + worker + " in attempt " + std::to_string(d.attempt));
    j = {worker, d.attempt, 0, false};
    ++sums_.begun;
    changed_.notify_all();
    return id;
}

void job_ledger::end(job_id id) {
    const std::lock_guard lock(mutex_);
    auto& j = jobs_.at(id);
    j.ended = true;
    ++sums_.ended;
    if (j.kills > 0) ++sums_.survivors;
    sums_.kills_survived = std::max(sums_.kills_survived, j.kills);
    changed_.notify_all();
}

void job_ledger::broker_killed() {
    const std::lock_guard lock(mutex_);
    for (auto& j : jobs_)
        if (!j.worker.empty() && !j.ended) ++j.kills;
}

void job_ledger::described(const client::subscription_description& d) {
    const std::lock_guard lock(mutex_);
    std::uint64_t published = 0;
    std::uint64_t acked = 0;
    for (const auto& p : d.partitions) {
        published += p.published;
        acked += p.acked;
    }
    if (published != sums_.published || sums_.answered != sums_.published)
        violate_locked(std::to_string(sums_.published) + " jobs were published by a named producer, " + std::to_string(sums_.answered) +
                       " answered; the broker has " + std::to_string(published));
    if (acked != sums_.ended)
        violate_locked(std::to_string(sums_.ended) + " jobs were done and handed in; the broker has taken " + std::to_string(acked));
}

void job_ledger::violate(const std::string& what) {
    const std::lock_guard lock(mutex_);
    violate_locked(what);
}

void job_ledger::violate_locked(const std::string& what) {
    ++sums_.violations;
    std::cerr << "violation: " << what << '\n';
}

job_ledger::totals job_ledger::sums() const {
    const std::lock_guard lock(mutex_);
    return sums_;
}

bool job_ledger::wait_until(const std::function<bool(const totals&)>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return holds(sums_); });
}

}  // namespace millrace::process
