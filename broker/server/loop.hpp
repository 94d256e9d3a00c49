// One of a broker's threads: a shard's driver, and the connections whose home this is.
//
//   serve (one coroutine a connection) ─► router ─► actions ─► store.commit, read threads, connections
//                                            ╰────► parcels ─► other loops
//
// Everything runs on the one thread of its io_context, but commits inside the store and reads on threads of their own; both come back by post, as parcels do.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "broker/access.hpp"
#include "broker/driver/open_shard.hpp"
#include "broker/driver/router.hpp"
#include "broker/log.hpp"
#include "broker/server/connection.hpp"
#include "broker/server/wakefulness.hpp"
#include "broker/storage/store.hpp"

namespace millrace::server {

struct broker_settings {
    session_settings session;  // epoch and level are the store's
    std::function<std::uint64_t()> new_key{};  // random, for each session; without it a client cannot end the session it had before
    core::shard_settings core;                 // its place is the shard's
    driver::driver_settings driver;            // of each shard
    std::size_t sessions_max = 10'000;
    std::chrono::milliseconds drain_timeout{5'000};
    std::chrono::milliseconds reopen_pause{1'000};  // between attempts to open the store again
    std::chrono::microseconds stay_awake{0};        // behind a lone group that was synced: see wakefulness.hpp
};

class loop;

/// What the loops of a broker share, and each uses on its own thread. Outlives them.
struct loops_common {
    storage::store& store;
    std::function<timestamp()> now;  // broker time, which never goes back; from any loop
    boost::asio::thread_pool& readers;
    std::vector<loop*> all;
    std::atomic<std::size_t> sessions{0};
    std::atomic<std::uint64_t> parcels{0};          // that were sent
    std::function<void(const error&)> failed;       // the store has; on the loop that noticed
};

class loop {
public:
    loop(boost::asio::io_context& io, std::uint32_t index, loops_common& common, const broker_settings& settings);

    boost::asio::io_context& io() { return io_; }
    std::uint32_t shard() const { return place_.index; }

    /// Runs its io_context until that is stopped, on the calling thread, which is the loop's from then on.
    void turn();

    // ---- all on the loop's thread, or before it turns ----

    /// Has a shard from now on, and serves it when run() is called. `epoch` is what clients are told.
    void open(driver::opened_shard opened, std::uint64_t generation, core::fencing_epoch epoch);
    void run();

    /// Has none any more: every session is told `why`, and later ones `unavailable`.
    void close(const error& why, const error& unavailable);
    void set_unavailable(const error& why) { unavailable_ = why; }

    /// A new connection, on this loop's io_context. `refused`: it is told so, and ended.
    void adopt(boost::asio::ip::tcp::socket socket, std::uint64_t key, const error& refused);

    /// Sessions whose token is gone or has fewer rights end.
    void set_access(access_list list);

    // Of a broker that stops: makes what was taken durable and answers it; then says Goodbye.
    void stop_watching();
    boost::asio::awaitable<void> finish_work(timestamp give_up);
    boost::asio::awaitable<void> say_goodbye(timestamp give_up);

    // ---- for those who look on ----

    /// Null while the store is being opened again.
    const driver::driver* driver() const { return router_ ? &router_->own() : nullptr; }
    driver::figures counted() const { return router_ ? router_->own().counted() : counted_; }
    const error& unavailable() const { return unavailable_; }
    std::uint64_t sessions_opened() const { return sessions_opened_; }
    /// Sessions that the broker ended, by the reason it gave.
    const std::map<errc, std::uint64_t>& sessions_closed() const { return sessions_closed_; }
    /// Connections in the order of their sessions' ids, after one of them.
    std::vector<const connection*> connections_after(std::uint64_t id, std::size_t limit) const;

private:
    timestamp now() const { return common_.now(); }

    boost::asio::awaitable<void> serve(std::shared_ptr<connection> c);
    boost::asio::awaitable<void> watch_time();

    void take_requests(connection& c);
    void schedule_flush();
    void run_driver();
    void send_parcels();
    void arm_deadline();
    void perform(driver::actions& a);
    void commit(core::group g);
    void read(const driver::read_request& r);
    void scan(const driver::scan_request& r);
    bool take_finished();
    void look_at_space();
    connection* find(core::session_id id);
    void end_session(core::session_id id);
    void end_former(connection& heir, const former_session& former);
    void end_session_known_by(const former_session& former, const connection* heir);
    void tell_opened(connection& c);
    void tell_closed(connection& c, const error& why);
    void tell_left_out(timestamp now);
    void dismiss(connection& c, const error& why);

    boost::asio::io_context& io_;
    const core::shard_place place_;
    loops_common& common_;
    broker_settings settings_;
    std::optional<access_list> access_;

    std::optional<driver::router> router_;  // none while the store is being opened again
    core::fencing_epoch epoch_{};
    driver::figures counted_;       // by the drivers before
    std::uint64_t generation_ = 0;  // of drivers: what the store finishes for an earlier one is nobody's any more, and so are its parcels
    error unavailable_;             // why there is none

    wakefulness wakefulness_;
    boost::asio::steady_timer timer_;           // the sweep over connections
    boost::asio::steady_timer deadline_timer_;  // the driver's next deadline
    std::optional<timestamp> armed_deadline_;

    std::unordered_map<std::uint64_t, std::shared_ptr<connection>> connections_;
    std::vector<std::shared_ptr<connection>> to_write_;
    std::uint64_t sessions_opened_ = 0;
    std::map<errc, std::uint64_t> sessions_closed_;

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
    log_limit closings_;  // lines about what any client may provoke
    bool running_ = false;
    bool watching_ = false;
    bool stopping_ = false;
    bool publishing_ = true;  // as last logged
};

}  // namespace millrace::server
