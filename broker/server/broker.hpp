// The broker: listens, hands connections to its loops in turn, and does what concerns all of them: opens their shards, again after the store has failed,
// looks on for others, and ends.
//
// A broker with one shard is one loop on the caller's io_context. With several, the first loop is there, with the broker itself, and each other has a thread
// of its own.
//
// After a commit of unknown outcome the drivers are thrown away and all shards opened again, since they share a log: sessions are told and come back.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "broker/server/loop.hpp"

namespace millrace::server {

/// What the store's disk had at the last look, and whether publishing is open. Without `disk` there is none that could be full.
struct store_space {
    std::optional<storage::disk_space> disk;
    bool publishing = true;
};

class broker {
public:
    using clock = std::function<timestamp()>;

    /// `opened` are the shards of `store`, which outlives the broker. `now` is broker time, which never goes back; called on every loop's thread.
    broker(boost::asio::io_context& io, std::vector<driver::opened_shard> opened, storage::store& store, broker_settings settings, clock now);
    ~broker();

    /// Binds and begins to accept. Errors: invalid_argument with the address and the system's reason. Returns the bound endpoint.
    result<boost::asio::ip::tcp::endpoint> listen(const boost::asio::ip::tcp::endpoint& where);

    /// Runs the io_context until it is stopped, as its run() would; on this thread.
    void run();

    /// session.access has changed: sessions whose token is gone or has fewer rights end.
    void review_access();

    /// Takes no new work, makes what was taken durable and answered, says Goodbye to every session; then stops the io_context.
    void drain();

    /// Set when the store failed for good; the io_context has been stopped, and nothing more may be promised.
    const error& fatal() const { return fatal_; }

    // ---- for those who look on, on the io_context's thread ----

    /// No error: publishing is possible. Else why it is not: it drains, the store is being opened again, or its disk is full.
    error not_ready() const;
    durability level() const { return store_.level(); }
    core::fencing_epoch epoch() const { return epoch_; }  // of the first shard
    std::uint32_t shards() const { return static_cast<std::uint32_t>(loops_.size()); }
    std::size_t sessions() const { return common_.sessions; }
    /// How often the store was opened again.
    std::uint64_t reopened() const { return generation_ - 1; }

    /// Waits until the loop of that shard has let `look` see it, between two of its steps. Costs the first nothing.
    void see(std::uint32_t shard, const std::function<void(const loop&)>& look) const;
    void see_all(const std::function<void(const loop&)>& look) const;

    /// Costs nothing. While the shards are being opened again nothing is known, and publishing is not open.
    store_space space() const;

private:
    boost::asio::awaitable<void> accept_loop();
    boost::system::error_code accept_one();
    boost::asio::awaitable<void> finish_drain();
    void open(std::vector<driver::opened_shard> opened);
    void on_each(const std::function<void(loop&)>& what, const std::function<void()>& then = [] {});
    void store_failed(const error& why);
    void end(const error& why);
    void reload(const error& why);
    void open_again();
    void opened_again(result<std::vector<driver::opened_shard>> opened);

    boost::asio::io_context& io_;
    storage::store& store_;
    broker_settings settings_;
    clock now_;

    boost::asio::thread_pool readers_{2};
    loops_common common_;
    std::vector<std::unique_ptr<boost::asio::io_context>> others_io_;
    std::vector<std::unique_ptr<loop>> loops_;
    std::vector<std::thread> threads_;

    core::fencing_epoch epoch_{};
    std::uint64_t generation_ = 0;
    bool reloading_ = false;
    error unavailable_;  // why the store is not open
    boost::asio::ip::tcp::acceptor acceptor_;
    std::size_t next_home_ = 0;  // the loop that gets the next connection
    boost::asio::steady_timer reopen_timer_;
    log_limit refused_accepts_;
    bool draining_ = false;
    error fatal_;
};

}  // namespace millrace::server
