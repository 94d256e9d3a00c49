// One of a broker's shards, as the sessions beside it and the other shards see it. Each shard has a thread of its own, with a driver, and with sessions whose
// home it is; what a session asks of another shard's topic goes there in a parcel, and what comes of it comes back in one.
//
//   session ─► router ─► driver ─► core        of this shard's topics
//                │  ▲
//          parcel▼  │parcel                    of the others'
//              router ─► driver ─► core
//
// A broker with one shard has nothing to route: its router is its driver. Changes of the catalog go by the first shard's catalog_desk.
// A plain class: no sockets, no threads, no clock. Who runs it carries the parcels, in the order in which they were given.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "broker/driver/catalog_desk.hpp"
#include "broker/driver/driver.hpp"

namespace millrace::driver {

/// A batch that was checked where its session is. `what.records` is set again from `records` where it arrives.
struct checked_batch {
    publish_request what;
    std::vector<std::byte> records;
    std::vector<std::uint32_t> record_ends;
};

struct arrival {
    core::origin from;
    move what;
};

/// For the desk.
struct catalog_change {
    core::any_input what;
};

struct parcel {
    std::vector<std::variant<core::any_input, checked_batch, arrival, catalog_change>> requests;
    std::vector<actions> results;  // for sessions whose home is there: answers, peeks, pushes, ends and closes alone

    bool empty() const { return requests.empty() && results.empty(); }
};

class router {
public:
    router(core::shard shard, const driver_settings& settings, core::shard_place place, figures before = {});

    /// The shard's own driver: for commits, reads, space and time.
    driver& own() { return driver_; }
    const driver& own() const { return driver_; }

    /// Of a session whose home this is.
    void submit(timestamp now, core::any_input request);
    void publish(timestamp now, const publish_request& request);

    /// What shard `from` has sent.
    void take(timestamp now, std::uint32_t from, parcel&& p);

    /// What has gathered since the last call, for sessions and for the store; call until it is empty, then take_parcels().
    actions take_actions(timestamp now);

    struct sent {
        std::uint32_t to = 0;
        parcel what;
    };
    std::vector<sent> take_parcels();

    /// The shard on whose thread a session is. Those whose number is less than the count of shards are no client's, but the shards' own.
    static std::uint32_t home_of(core::session_id session, core::shard_place place) { return static_cast<std::uint32_t>(static_cast<std::uint64_t>(session) % place.count); }

private:
    struct asked_of_consumer {
        core::holder_id who;
        std::uint32_t shard = 0;
        bool leaves = false;
    };

    std::uint32_t home_of(core::session_id session) const { return home_of(session, place_); }
    std::uint32_t shard_of_topic(const std::string& name) const;
    std::uint32_t shard_of(const core::any_input& request) const;
    void change_catalog(core::any_input&& wanted);
    bool note_coming(const core::input::subscribe& comes, std::uint32_t shard);
    void send(timestamp now, std::uint32_t shard, core::any_input&& request);
    void forget_session(core::session_id session);
    void send_away(actions& a);
    template <class T, class SessionOf>
    void sort(std::vector<T> actions::*kind, actions& a, std::vector<actions>& away, SessionOf session_of);
    void take_results(std::uint32_t from, actions&& results);
    void note_all(std::vector<core::answer>& answers);
    void note(const core::answer& a);
    bool comes_again(core::holder_id who) const;
    void note_end(const core::consumer_ended& e, std::uint32_t from);
    bool settle(core::answer& a);
    void run_desk();

    core::shard_place place_;
    driver driver_;
    timestamp now_;
    std::vector<parcel> to_others_;
    std::deque<actions> for_here_;

    // Of sessions whose home this is.
    std::map<core::holder_id, std::uint32_t> shard_of_consumer_;
    std::map<core::origin, asked_of_consumer> asked_;              // to come or to leave, and not answered
    std::set<std::pair<core::holder_id, std::uint32_t>> leaving_;  // what is on its way from there to that consumer is dropped

    std::map<core::request_id, core::dead_message> moving_;
    std::uint64_t last_move_ = 0;
    catalog_desk desk_;
};

}  // namespace millrace::driver
