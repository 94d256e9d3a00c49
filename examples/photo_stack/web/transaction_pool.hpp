// Transactions for coroutines, at one address of PostgreSQL: a job runs on one of a few threads, each with a connection of its own, and ends by a deadline.
//
//   coroutine ── perform(job) ──► queue ──► thread + connection ──► commit ──► posted back
//        └─── deadline: the coroutine goes on with `database_unavailable`, and the thread's socket is cut, so that a database that hangs, or has been
//             unplugged, costs a request its deadline and not a thread
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <pqxx/transaction>
#include <stdexcept>
#include <string>

namespace photo_web {

/// The job did not end in time, or its connection was lost, or too many wait. `in_doubt`: it may have been committed all the same.
struct database_unavailable : std::runtime_error {
    database_unavailable(const std::string& what, bool doubt) : std::runtime_error(what), in_doubt(doubt) {}
    bool in_doubt;
};

struct pool_settings {
    const char* name = "database";              // in spans
    std::string address;  // a libpq connection string
    std::size_t connections = 4;
    std::size_t waiting_max = 256;
    std::chrono::milliseconds deadline{1'200};  // of a job, waiting for its turn included
};

using transaction = pqxx::work;

/// Called on one thread, that of `loop`, which outlives the pool.
class transaction_pool {
public:
    transaction_pool(boost::asio::any_io_executor loop, pool_settings settings);

    /// Ends the threads; jobs that still run are cut.
    ~transaction_pool();

    /// Returns once the job is committed. What it throws rolls it back, and is thrown here. It may run a second time, on a new connection, when the
    /// first was found lost before its commit was sent: all that it does, it does to the transaction. It is copied to another thread.
    boost::asio::awaitable<void> perform(std::function<void(transaction&)> job);

private:
    class lines;

    boost::asio::any_io_executor loop_;
    pool_settings settings_;
    std::unique_ptr<lines> lines_;
};

}  // namespace photo_web
