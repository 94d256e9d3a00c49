// Work that takes a processor for a while (images, passwords) or waits for a disk, away from the thread that serves the connections.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <stdexcept>
#include <type_traits>

#include "examples/photo_stack/web/current_span.hpp"

namespace photo_web {

/// More waits for the pool than it will do in the time that its requests have.
struct overloaded : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Called on one thread.
class work_pool {
public:
    /// `name` is what its work is called in spans.
    work_pool(const char* name, std::size_t threads, std::size_t jobs_max) : name_(name), threads_(threads), jobs_max_(jobs_max) {}

    /// What `job` returns or throws. Throws overloaded at once when `jobs_max` are waiting or running.
    template <class Job>
    boost::asio::awaitable<std::invoke_result_t<Job&>> run(Job job) {
        if (jobs_ >= jobs_max_) throw overloaded("the server has more to do than it can; try again in a few seconds");
        const counted here(jobs_);
        const timed_part timed(co_await current_span(), name_);
        co_return co_await boost::asio::co_spawn(threads_, perform(std::move(job)), boost::asio::use_awaitable);
    }

private:
    struct counted {
        explicit counted(std::size_t& of) : count(of) { ++count; }
        ~counted() { --count; }
        std::size_t& count;
    };

    template <class Job>
    static boost::asio::awaitable<std::invoke_result_t<Job&>> perform(Job job) {
        co_return job();
    }

    const char* name_;
    boost::asio::thread_pool threads_;
    std::size_t jobs_max_;
    std::size_t jobs_ = 0;
};

}  // namespace photo_web
