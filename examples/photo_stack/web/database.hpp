// PostgreSQL for coroutines: a job is a transaction on one of a few threads, each with a connection of its own, and ends by a deadline.
//
//   coroutine ── run(job) ──► queue ──► thread + connection ──► commit ──► posted back
//        └─── deadline: the coroutine goes on with `database_unavailable`, and the thread's socket is cut, so that a database that hangs, or has been
//             unplugged, costs a request its deadline and not a thread
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <pqxx/transaction>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace photo_web {

/// The job did not end in time, or its connection was lost, or too many wait. `in_doubt`: it may have been committed all the same.
struct database_unavailable : std::runtime_error {
    database_unavailable(const std::string& what, bool doubt) : std::runtime_error(what), in_doubt(doubt) {}
    bool in_doubt;
};

struct database_settings {
    std::string address;  // a libpq connection string
    std::size_t connections = 4;
    std::size_t waiting_max = 256;
    std::chrono::milliseconds deadline{1'200};  // of a job, waiting for its turn included
};

using transaction = pqxx::work;

/// `run` is called on one thread, that of `loop`, which outlives the database.
class database {
public:
    database(boost::asio::any_io_executor loop, database_settings settings);

    /// Ends the threads; jobs that still run are cut.
    ~database();

    /// What `job` returns, once it is committed. What it throws rolls it back, and is thrown here. It may run a second time, on a new connection, when
    /// the first was found lost before its commit was sent: all that it does, it does to the transaction. It is copied to another thread.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> run(Job job) {
        using value = std::invoke_result_t<Job&, transaction&>;
        if constexpr (std::is_void_v<value>) {
            co_await perform(std::move(job));
        } else {
            const auto out = std::make_shared<std::optional<value>>();
            std::function<void(transaction&)> keeping = [job = std::move(job), out](transaction& tx) mutable { *out = job(tx); };
            co_await perform(std::move(keeping));  // named, as GCC 12 destroys captures twice in a call that is awaited
            co_return std::move(**out);
        }
    }

private:
    class pool;

    boost::asio::awaitable<void> perform(std::function<void(transaction&)> job);

    boost::asio::any_io_executor loop_;
    database_settings settings_;
    std::unique_ptr<pool> pool_;
};

}  // namespace photo_web
