// The Asio shell around one driver: listens, serves connections, performs the driver's actions on sockets and store.
//
//   accept_loop ─► serve (one coroutine a connection) ─► driver ─► actions ─► store.commit, read threads, connections
//
// Everything runs on the one thread of the io_context, but commits inside the store and reads on two threads of their own; both come back by post.
//
// After a commit of unknown outcome the driver is thrown away and the shard opened again (broker_reload.cpp): sessions are told and come back.
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
#include "broker/driver/open_shard.hpp"
#include "broker/log.hpp"
#include "broker/server/connection.hpp"
#include "broker/storage/store.hpp"

namespace millrace::server {

struct broker_settings {
    session_settings session;  // epoch and level are the store's
    std::function<std::uint64_t()> new_key{};  // random, for each session; without it a client cannot end the session it had before
    core::shard_id shard{};
    core::shard_settings core;
    driver::driver_settings driver;
    std::size_t sessions_max = 10'000;
    std::chrono::milliseconds drain_timeout{5'000};
    std::chrono::milliseconds reopen_pause{1'000};  // between attempts to open the shard again
};

/// What the store's disk had at the last look, and whether publishing is open. Without `disk` there is none that could be full.
struct store_space {
    std::optional<storage::disk_space> disk;
    bool publishing = true;
};

class broker {
public:
    using clock = std::function<timestamp()>;

    /// `opened` is settings.shard of `store`, which outlives the broker. `now` is broker time, which never goes back.
    broker(boost::asio::io_context& io, driver::opened_shard opened, storage::store& store, broker_settings settings, clock now);
    ~broker();

    /// Binds and begins to accept. Errors: invalid_argument with the address and the system's reason. Returns the bound endpoint.
    result<boost::asio::ip::tcp::endpoint> listen(const boost::asio::ip::tcp::endpoint& where);

    /// session.access has changed: sessions whose token is gone or has fewer rights end.
    void review_access();

    /// Takes no new work, makes what was taken durable and answered, says Goodbye to every session; then stops the io_context.
    void drain();

    /// Set when the store failed for good; the io_context has been stopped, and nothing more may be promised.
    const error& fatal() const { return fatal_; }

    std::size_t sessions() const { return connections_.size(); }

    /// Costs nothing. While the shard is being opened again nothing is known, and publishing is not open.
    store_space space() const;

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
    void look_at_space();
    connection* find(core::session_id id);
    void end_session(core::session_id id);
    void end_former(const connection& heir, const former_session& former);
    void tell_opened(connection& c);
    void tell_closed(connection& c, const error& why);
    void tell_left_out(timestamp now);

    // broker_reload.cpp
    void start_driver(driver::opened_shard opened);
    void fail(const error& why);
    void end(const error& why);
    void reload(const error& why);
    void open_again();
    void opened_again(result<driver::opened_shard> opened);
    void dismiss(connection& c, const error& why);

    boost::asio::io_context& io_;
    storage::store& store_;
    broker_settings settings_;
    clock now_;

    std::optional<driver::driver> driver_;  // none while the shard is being opened again
    core::fencing_epoch epoch_{};
    std::uint64_t generation_ = 0;  // of drivers: what the store finishes for an earlier one is nobody's any more
    error unavailable_;             // why there is none

    boost::asio::ip::tcp::acceptor acceptor_;
    boost::asio::steady_timer timer_;           // the sweep over connections
    boost::asio::steady_timer deadline_timer_;  // the driver's next deadline
    boost::asio::steady_timer reopen_timer_;
    std::optional<timestamp> armed_deadline_;
    boost::asio::thread_pool readers_{2};

    std::unordered_map<std::uint64_t, std::shared_ptr<connection>> connections_;
    std::vector<std::shared_ptr<connection>> to_write_;
    std::uint64_t last_session_ = 0;

    bool flush_scheduled_ = false;
    bool committing_inline_ = false;  // commit() is on the stack: a done that comes now needs no post

    // Finished commits in the order in which the store finished them, from any thread: one that ends inline must not overtake one that was posted.
    struct finished_commit {
        std::uint64_t generation = 0;
        core::group_number number{};
        error failed;
    };
    std::mutex finished_mutex_;
    std::vector<finished_commit> finished_;
    log_limit closings_;        // lines about what any client may provoke
    log_limit refused_accepts_;
    bool running_ = false;
    bool draining_ = false;
    bool publishing_ = true;  // as last logged
    error fatal_;
};

}  // namespace millrace::server
