// Workers that live through every kill of the broker, with handlers that run longer than it is away, and a named producer that keeps them busy.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "millrace/worker.hpp"
#include "tests/process/blocking_client.hpp"
#include "tests/process/job_ledger.hpp"

namespace millrace::process {

class crash_workers {
public:
    /// The topic and the subscription that they need.
    static void create(blocking_client& admin);

    /// Begins on a thread of its own and returns when every worker is busy. Throws when that does not come.
    crash_workers(const std::string& server, std::uint32_t workers);
    ~crash_workers();

    void broker_killed() { ledger_.broker_killed(); }

    /// Publishes nothing more, waits for everything, ends the workers, and compares with the broker.
    void finish(blocking_client& admin);

    job_ledger::totals sums() const { return ledger_.sums(); }

    /// Outcomes whose answer was lost with a broker: what became of them is seen in finish().
    std::uint64_t unknown_outcomes() const { return unknown_; }

private:
    struct worker_process {
        worker_process(crash_workers& all, const std::string& server, std::string its_name);

        std::string name;
        client::connection broker;
        client::worker worker;
    };

    void connect();
    void feed();
    client::outcome work(const std::string& worker, const client::delivery& d);
    void ended(worker_process& w, boost::system::error_code failed, const client::worker_report& report);

    boost::asio::io_context io_{1};
    job_ledger ledger_;
    client::connection feeder_;
    std::vector<std::unique_ptr<worker_process>> workers_;
    std::uint64_t unknown_ = 0;
    std::uint64_t acked_ = 0;
    std::size_t over_ = 0;
    std::promise<void> all_over_;
    bool feeding_ = true;
    std::thread thread_;
};

}  // namespace millrace::process
