// One shard of the database: a primary, where everything is written, and replicas, which say the same a moment later.
//
//   run  ──► primary
//   read ──► a replica, when it is there and not behind what the reader has written; else the primary
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "examples/photo_stack/web/parsing/log_position.hpp"
#include "examples/photo_stack/web/transaction_pool.hpp"

namespace photo_web {

struct shard_settings {
    pool_settings primary{};
    std::string replicas{};  // a libpq connection string; empty: there are none
};

/// One thread, that of `loop`, which outlives the shard. Everything throws database_unavailable.
class shard {
public:
    shard(const boost::asio::any_io_executor& loop, const shard_settings& settings);

    /// What `job` returns, once it is committed at the primary; see transaction_pool::perform for what a job may do.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> run(Job job) {
        using value = std::invoke_result_t<Job&, transaction&>;
        if constexpr (std::is_void_v<value>) {
            co_await primary_.perform(std::move(job));
        } else {
            const auto out = std::make_shared<std::optional<value>>();
            auto keeping = keep(std::move(job), out);
            co_await primary_.perform(std::move(keeping));  // named, as GCC 12 destroys captures twice in a call that is awaited
            co_return std::move(**out);
        }
    }

    /// What `job`, which only reads, finds in a database that is at `after` at least.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> read(log_position after, Job job) {
        const auto out = std::make_shared<std::optional<std::invoke_result_t<Job&, transaction&>>>();
        auto keeping = keep(job, out);
        if (co_await read_at_replica(std::move(after), std::move(keeping))) co_return std::move(**out);
        co_return co_await run(std::move(job));
    }

    /// The same for one thing that may not be there. A replica that has none may only be behind: then the primary is asked.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&, transaction&>> find(log_position after, Job job) {
        auto found = co_await read(std::move(after), job);
        if (!found && has_replicas()) found = co_await run(std::move(job));
        co_return found;
    }

    bool has_replicas() const { return replicas_ != nullptr; }

    /// Behind everything that is committed by now.
    boost::asio::awaitable<log_position> position();

private:
    template <class Job, class Value>
    static std::function<void(transaction&)> keep(Job job, std::shared_ptr<std::optional<Value>> out) {
        return [job = std::move(job), out = std::move(out)](transaction& tx) mutable { *out = job(tx); };
    }

    boost::asio::awaitable<bool> read_at_replica(log_position after, std::function<void(transaction&)> job);

    transaction_pool primary_;
    std::unique_ptr<transaction_pool> replicas_;
};

}  // namespace photo_web
