// The broker under simulation: the real driver and the real wire sessions, on simulated sockets, disk and clock. It does what the Asio shell does
// (broker/server/broker.cpp), and dies and recovers when told to.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "broker/driver/broker_clock.hpp"
#include "broker/driver/router.hpp"
#include "broker/server/wire_session.hpp"
#include "tests/sim/checker.hpp"
#include "tests/sim/coverage.hpp"
#include "tests/sim/machine_clocks.hpp"
#include "tests/sim/network.hpp"
#include "tests/sim/slow_store.hpp"
#include "tests/sim/trace.hpp"

namespace millrace::sim {

struct broker_habits {
    core::shard_settings shard;
    driver::driver_settings driver;
    server::session_settings session;
    std::uint32_t shards_max = 1;  // drawn anew for each life
    std::chrono::microseconds parcel_max{100};
};

class broker_host {
public:
    broker_host(event_queue& events, random_source& random, trace& noted, checker& judge, slow_store& store, const broker_habits& habits, const machine_clocks& clocks)
        : events_(events), random_(random), noted_(noted), judge_(judge), store_(store), habits_(habits), clocks_(clocks) {
        store_.when_power_goes([this] {
            if (is_up()) crash();
        });
    }

    bool is_up() const { return !loops_.empty(); }

    /// Recovers from the store under a new epoch. REQUIRES !is_up().
    void start();

    /// Dies at once: what was under way is lost, every connection is cut.
    void crash();

    /// From now on it is counted what is asked and answered. `seen` outlives this.
    void count_into(coverage* seen) { seen_ = seen; }

    /// A client has connected. Its session's key is in the Welcome that it gets.
    void accept(const std::shared_ptr<connection>& c);

    std::uint64_t recoveries() const { return recoveries_; }
    std::uint64_t commits() const { return commits_; }
    bool reads_wait() const;  // some may be for what is to be freed

private:
    struct client {
        std::shared_ptr<connection> wire;
        std::unique_ptr<server::wire_session> session;
        bool writing = false;

        bool returned = false, named = false;  // for what is counted, and so is this
        std::size_t consumers = 0;
    };

    /// One of the broker's threads.
    struct loop {
        core::shard_id shard{};
        core::fencing_epoch epoch{};
        std::unique_ptr<driver::router> router;
        std::set<core::session_id> to_write;
        std::optional<timestamp> armed;
        bool flush_scheduled = false;
        timestamp last_parcel;  // that will have come
    };

    void start_clock();
    driver::broker_clock::reading read_clocks() const;
    timestamp now() { return clock_->now(read_clocks()); }
    void count_request(client& c, const server::request& r);
    void count_answer(const core::origin& to, errc how);
    broker_state state();
    void received(core::session_id id, std::span<const std::byte> bytes);
    void write(core::session_id id);
    void end_session(core::session_id id);
    void finish(core::session_id id);
    void end_former(core::session_id heir, const server::former_session& former);
    loop& home_of(core::session_id id) { return loops_[driver::router::home_of(id, {0, shards()})]; }
    std::uint32_t shards() const { return static_cast<std::uint32_t>(loops_.size()); }
    template <class Input>
    void drive(loop& l, Input input);
    void run(loop& l);
    void perform(loop& l, driver::actions& a);
    void send_parcels(loop& l);
    void look_at_space();
    void schedule_flush(loop& l);
    void arm_deadline(loop& l);
    void sweep();
    client* find(core::session_id id);
    void later(std::chrono::microseconds wait, std::function<void()> what);

    event_queue& events_;
    random_source& random_;
    trace& noted_;
    checker& judge_;
    slow_store& store_;
    const broker_habits& habits_;
    const machine_clocks& clocks_;

    coverage* seen_ = nullptr;
    std::map<core::origin, coverage::kind> asked_;  // what is not answered yet, when it is counted
    timestamp started_at_;
    std::optional<driver::broker_clock> clock_;
    std::vector<loop> loops_;  // none while it is down
    std::map<core::session_id, client> clients_;
    std::uint64_t last_session_ = 0;  // over all lives: a session is named once in a run
    bool failed_ = false;
    std::uint64_t life_ = 0;
    std::uint64_t recoveries_ = 0;
    std::uint64_t commits_ = 0;
};

}  // namespace millrace::sim
