// What workers know of their jobs while the broker is killed under them: each job begins once, whatever happens to the broker while it runs. No IO.
//
//   published ─► answered        begun ─► ended (handed in as done)
//
// A handler that has begun holds a lease. Nobody else may be given its message while it runs, nor after it: the worker lives on and hands it in. So a
// job that begins a second time was lost by a restart. For any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "millrace/client_types.hpp"

namespace millrace::process {

using job_id = std::uint64_t;

class job_ledger {
public:
    struct totals {
        std::uint64_t published = 0, answered = 0, begun = 0, ended = 0, violations = 0;
        std::uint64_t survivors = 0;      // jobs that ran while the broker was killed
        std::uint32_t kills_survived = 0;  // by one job, at most

        std::uint64_t unfinished() const { return published - ended; }
    };

    message new_job();
    void publish_answered();

    /// Returns the job's number, from which the work to do follows.
    job_id begin(const client::delivery& d, const std::string& worker);
    void end(job_id id);

    /// The broker was killed: what runs now must survive it.
    void broker_killed();

    /// What the broker says when all is done and answered.
    void described(const client::subscription_description& d);

    void violate(const std::string& what);

    totals sums() const;

    /// False when it does not hold within `patience`.
    bool wait_until(const std::function<bool(const totals&)>& holds);

private:
    struct job {
        std::string worker;  // who began it; empty: nobody yet
        std::uint32_t attempt = 0;
        std::uint32_t kills = 0;
        bool ended = false;
    };

    void violate_locked(const std::string& what);

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<job> jobs_;  // by id
    totals sums_;
};

}  // namespace millrace::process
