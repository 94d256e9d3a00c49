// Work on the messages of a subscription: a handler on threads of its own, leases kept while it runs, one outcome for each message.
//
//     millrace::client::worker resizer(broker, "photos", "resize", {.concurrency = 4}, [](const millrace::client::delivery& photo) {
//         return resize(photo.message.payload) ? outcome::ack() : outcome::nack("no such file");
//     });
//     co_await resizer.async_run(asio::use_awaitable);
//
// Threads: the handler runs on `concurrency` threads; everything else on the connection's executor, where all functions but drain() are called.
// Leases: a message is started when its handler begins, and its lease renewed at every third of the visibility timeout, away from the handler's
// thread, until handler_timeout. A handler that runs longer keeps its thread, but the message may be given to somebody else, which counts as failed.
// A lost connection does not end a job: its lease is taken up again when the connection is back.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "millrace/client.hpp"

namespace millrace::client {

class worker_core;

/// What a handler makes of a message.
struct outcome {
    enum class kind : std::uint8_t { ack, nack, reject };

    kind what = kind::ack;
    std::string reason{};

    static outcome ack() { return {}; }
    /// It failed: it comes again after a backoff, until it has failed max_deliveries times.
    static outcome nack(std::string reason) { return {kind::nack, std::move(reason)}; }
    /// It will never succeed: to the dead letters at once.
    static outcome reject(std::string reason) { return {kind::reject, std::move(reason)}; }
};

struct worker_options {
    std::uint32_t concurrency = 1;
    /// How long a lease is renewed. Default: 10 visibility timeouts.
    std::optional<std::chrono::milliseconds> handler_timeout{};
    /// How long a worker that ends waits, once no handler runs, for a broker that is away: then it ends with timed_out, and what was not answered may come again.
    std::chrono::milliseconds drain_timeout{30'000};
    /// Messages in hand, running ones included. Default: twice the concurrency, so that the next one is there when a handler ends.
    std::optional<std::uint32_t> credit_messages{};
    std::uint64_t credit_bytes = limits::credit_bytes;  // at most
    std::string name{};  // for people
};

/// What a worker did until it ended.
struct worker_report {
    std::uint64_t acked = 0, nacked = 0, rejected = 0;  // outcomes of its handlers
    std::uint64_t lost = 0;                             // of them, outcomes that came too late: somebody else was given the message
    std::string refusal{};
};

namespace detail {

using worker_pointer = std::shared_ptr<worker_core>;
const boost::asio::any_io_executor& executor_of(const worker_pointer& core) noexcept;
void start_worker(const worker_pointer&, completion<worker_report>);

}  // namespace detail

class worker {
public:
    /// What it throws is a nack with what() as the reason.
    using handler = std::function<outcome(const delivery&)>;

    /// `broker` outlives the worker.
    worker(connection& broker, std::string topic, std::string subscription, worker_options options, handler work);

    /// Waits for the handlers that run; their outcomes are not sent. drain() first.
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    /// Subscribes and works until drain(), or until the consumer ends, whose reason is the error then. Once.
    /// Completes when no handler runs and every outcome is answered, or the drain_timeout is over. void(error_code, worker_report)
    template <class Token>
    auto async_run(Token&& token) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, worker_report)>(
            [core = core_](auto&& done) {
                detail::start_worker(core, completion<worker_report>(std::forward<decltype(done)>(done), detail::executor_of(core)));
            },
            token);
    }

    /// Takes nothing more, releases what is not started, and lets what is started finish. From any thread.
    void drain();

private:
    detail::worker_pointer core_;
};

}  // namespace millrace::client
