// The Asio shell around one driver: listens, serves connections, performs the driver's actions on sockets and store.
//
//   accept_loop ─► serve (one coroutine a connection) ─► driver ─► actions ─► store.commit, read threads, connections
//
// Everything runs on the one thread of the io_context, but commits inside the store and reads on two threads of their own; both come back by post.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>

#include "broker/driver/driver.hpp"
#include "broker/server/connection.hpp"
#include "broker/storage/store.hpp"

namespace millrace::server {

struct broker_settings {
    session_settings session;
    core::shard_id shard{};
    core::fencing_epoch epoch{};
    std::size_t sessions_max = 10'000;
    std::chrono::milliseconds drain_timeout{5'000};
};

class broker {
public:
    using clock = std::function<timestamp()>;

    /// `store` has been opened for the shard under settings.epoch and outlives the broker. `now` is broker time, which never goes back.
    broker(boost::asio::io_context& io, driver::driver driver, storage::store& store, broker_settings settings, clock now);
    ~broker();

    /// Binds and begins to accept. Errors: invalid_argument with the address and the system's reason. Returns the bound endpoint.
    result<boost::asio::ip::tcp::endpoint> listen(const boost::asio::ip::tcp::endpoint& where);

    /// Takes no new work, makes what was taken durable and answered, says Goodbye to every session; then stops the io_context.
    void drain();

    /// Set when the store failed for good; the io_context has been stopped, and nothing more may be promised.
    const error& fatal() const { return fatal_; }

    std::size_t sessions() const { return connections_.size(); }

private:
    boost::asio::awaitable<void> accept_loop();
    boost::asio::awaitable<void> serve(std::shared_ptr<connection> c);
    boost::asio::awaitable<void> watch_time();
    boost::asio::awaitable<void> finish_drain();

    void take_requests(connection& c);
    void schedule_flush();
    void run_driver();
    void arm_deadline();
    void perform(driver::actions& a);
    void commit(core::group g);
    void read(const driver::read_request& r);
    void scan(const driver::scan_request& r);
    bool take_finished();
    connection* find(core::session_id id);
    void end_session(core::session_id id);
    void fail(const error& why);

    boost::asio::io_context& io_;
    driver::driver driver_;
    storage::store& store_;
    broker_settings settings_;
    clock now_;

    boost::asio::ip::tcp::acceptor acceptor_;
    boost::asio::steady_timer timer_;           // the sweep over connections
    boost::asio::steady_timer deadline_timer_;  // the driver's next deadline
    std::optional<timestamp> armed_deadline_;
    boost::asio::thread_pool readers_{2};

    std::unordered_map<std::uint64_t, std::shared_ptr<connection>> connections_;
    std::vector<std::shared_ptr<connection>> to_write_;
    std::uint64_t last_session_ = 0;

    bool flush_scheduled_ = false;
    bool committing_inline_ = false;  // commit() is on the stack: a done that comes now needs no post

    // Finished commits in the order in which the store finished them, from any thread: one that ends inline must not overtake one that was posted.
    std::mutex finished_mutex_;
    std::vector<std::pair<core::group_number, error>> finished_;
    bool running_ = false;
    bool draining_ = false;
    error fatal_;
};

}  // namespace millrace::server
