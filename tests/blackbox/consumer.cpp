#include "tests/blackbox/consumer.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <optional>

#include "tests/sim/random.hpp"

namespace millrace::blackbox {
namespace {

constexpr milliseconds turn{20};           // how often jobs are looked at
constexpr milliseconds before_retry{200};  // after a connection that did not come about
constexpr std::size_t lost_told_max = 1024;  // ranges that a settlement names at most; beyond them nothing is known

using moment = history::clock::time_point;

/// A message in hand.
struct job {
    client::delivery what;  // without its payload
    sim::reader given_to;   // in a session that may be gone, and its lease with it
    bool is_started = false;
    bool is_shown = false;  // to a broker that was come back to, and not known yet whether it was given back
    moment renew_at = moment::max();
    moment end_at = moment::max();
    sim::hand_in end{};
};

/// What has left the hand, and is not answered.
struct handed_in {
    sim::hand_in_key key{};
    sim::hand_in how{};
    sim::token_range token;
    bool was_started = false;
};

/// One connection, and what is held over it.
struct visit {
    visit(boost::asio::io_context& io, client::connection_settings settings) : broker(io.get_executor(), std::move(settings)) {}

    client::connection broker;
    client::consumer from;
    sim::session_key key{};
    sim::reader who;
    std::multimap<moment, job> jobs;  // by when they are looked at next
    std::vector<handed_in> given;     // since the last settlement was asked for
    std::vector<handed_in> settling;  // of the settlement under way
    bool is_settling = false;
    bool is_leaving = false;
    moment leave_at = moment::max();
};

const char* name_of(sim::hand_in how) {
    switch (how) {
        case sim::hand_in::ack: return "ack";
        case sim::hand_in::nack: return "nack";
        case sim::hand_in::reject: return "reject";
        case sim::hand_in::release: break;
    }
    return "release";
}

bool covers(const std::vector<client::lost_range>& lost, const sim::token_range& t) {
    return std::any_of(lost.begin(), lost.end(), [&](const client::lost_range& r) {
        return r.partition == t.partition && r.attempt == t.attempt && r.first <= t.first && t.first <= r.last;
    });
}

sim::token_range token_of(const client::delivery& d) { return {d.partition, d.sequence, d.sequence, d.attempt}; }

std::vector<sim::token_range> tokens_of(const std::vector<client::lost_range>& lost) {
    std::vector<sim::token_range> out;
    for (const auto& r : lost) out.push_back({r.partition, r.first, r.last, r.attempt});
    return out;
}

/// What was not started goes with the connection, which the library knows before it is back, and may be given again under the same token.
bool went_with_its_connection(const std::vector<handed_in>& all, const sim::token_range& t) {
    return std::any_of(all.begin(), all.end(), [&](const handed_in& h) {
        return !h.was_started && h.token.partition == t.partition && h.token.first == t.first && h.token.attempt == t.attempt;
    });
}

}  // namespace

struct consumer::state : std::enable_shared_from_this<state> {
    state(scene& s, boost::asio::io_context& to_run_on, host_number here, const subscription_in_use& which, bool returns, std::uint64_t seed)
        : among(s), io(to_run_on), where(here), of(which), comes_back(returns), random(seed), clock(to_run_on) {}

    client::connection_settings settings() const {
        client::connection_settings s;
        s.server = among.server;
        s.name = "consumer of " + of.name;
        s.connect_timeout = 2s;
        s.reconnect.enabled = comes_back;
        s.reconnect.pause_max = 1s;
        return s;
    }

    // ---- sessions ----

    /// `f(*this, visit, …)` for as long as this visit lasts.
    template <class F>
    auto in_this_visit(F f) {
        return [self = weak_from_this(), visited = std::weak_ptr(now), f = std::move(f)](auto&&... arguments) {
            const auto me = self.lock();
            const auto during = visited.lock();
            if (me && during && me->now == during) f(*me, *during, std::forward<decltype(arguments)>(arguments)...);
        };
    }

    void come() {
        now = std::make_shared<visit>(io, settings());
        now->broker.async_connect(in_this_visit([](state& me, visit& v, boost::system::error_code failed, const client::broker_description&) {
            if (failed) return me.go();
            v.key = me.among.told.open_session(me.where);
            me.subscribe(v);
        }));
        if (comes_back) now->broker.on_return(in_this_visit([](state& me, visit& v, const client::broker_description&) { me.come_back(v); }));
    }

    /// The connection was lost, and is there again: in another session, with what was started and what was handed in without an answer. What was not started is
    /// anybody's, and some of it is handed in all the same.
    void come_back(visit& v) {
        if (!v.from) return;  // it was about to subscribe: that has failed
        among.told.session_over(v.key);
        v.key = among.told.open_session(where);
        v.who.session = v.key;
        std::erase_if(v.jobs, [this](const auto& j) { return !j.second.is_started && random.chance(500); });
        among.told.tell([&](sim::checker& judge, timestamp) { judge.consumer_opened(v.who); });
        if (v.is_leaving) return;  // they are given up
        for (auto& [when, j] : v.jobs)
            if (j.is_started) show(v, j);
        for (auto* list : {&v.settling, &v.given})
            for (auto& h : *list) show_again(v, h);
        among.told.came_back(v.jobs.size());
    }

    /// What was shown is somebody else's, or settled: to hand it in has no effect.
    void forget(visit& v, const std::vector<client::lost_range>& lost) {
        std::erase_if(v.jobs, [&](const auto& j) {
            const auto token = token_of(j.second.what);
            const auto is_lost = covers(lost, token);
            if (is_lost) among.told.tell("not given back", v.who, token, [](sim::checker&, timestamp) {});
            return is_lost;
        });
    }

    void show(const visit& v, job& j) {
        j.is_shown = true;
        j.given_to = v.who;
        const auto token = token_of(j.what);
        among.told.tell("shown", v.who, token, [&](sim::checker& judge, timestamp) { judge.adoption_sent(v.who, {token}); });
    }

    void show_again(const visit& v, handed_in& h) {
        among.told.tell("handed in again", v.who, h.token, [&](sim::checker& judge, timestamp when) {
            judge.adoption_sent(v.who, {h.token});
            h.key = judge.hand_in_sent(when, v.who, h.how, {h.token});
        });
    }

    void subscribe(visit& v) {
        client::subscribe_options options;
        options.credit_messages = among.settling ? 1000 : static_cast<std::uint32_t>(random.between(1, 300));
        options.credit_bytes = random.chance(200) ? 10'000 : 4u << 20;
        v.broker.async_subscribe(of.topic.name, of.name, options, in_this_visit([](state& me, visit& opened, boost::system::error_code failed, client::consumer from) {
            if (failed) return me.go();
            opened.from = std::move(from);
            opened.who = {opened.key, 1, me.of.id, me.of.topic.id};
            me.among.told.tell([&](sim::checker& judge, timestamp) { judge.consumer_opened(opened.who); });
            if (me.comes_back) opened.from.on_leases_lost(me.in_this_visit([](state& self, visit& here, const std::vector<client::lost_range>& lost) { self.forget(here, lost); }));
            opened.leave_at = history::clock::now() + milliseconds(me.random.between(500, 30'000));
            me.receive(opened);
        }));
    }

    /// Gone without a word: the socket closes.
    void go() {
        if (now && now->key != sim::session_key{}) among.told.session_over(now->key);
        boost::asio::post(io, [gone = std::exchange(now, nullptr)] {});
        back_at = history::clock::now() + before_retry;
    }

    /// With a word: everything is given back.
    void say_goodbye(visit& v) {
        among.told.tell([&](sim::checker& judge, timestamp) { judge.closed(v.who); });
        v.jobs.clear();
        v.is_leaving = true;
        v.broker.async_close(in_this_visit([](state& me, visit&, boost::system::error_code, const client::done&) { me.go(); }));
    }

    void leave(visit& v) {
        if (random.chance(500)) return go();
        say_goodbye(v);
    }

    // ---- what time brings ----

    void tick() {
        clock.expires_after(turn);
        clock.async_wait([self = weak_from_this()](const boost::system::error_code& canceled) {
            const auto me = self.lock();
            if (!me || canceled) return;
            if (me->now) me->look_at_jobs(*me->now);
            if (!me->now && history::clock::now() >= me->back_at) me->come();
            me->tick();
        });
    }

    void look_at_jobs(visit& v) {
        const auto moment_now = history::clock::now();
        while (!v.jobs.empty() && (v.jobs.begin()->first <= moment_now || among.settling)) {
            auto node = v.jobs.extract(v.jobs.begin());
            auto& j = node.mapped();
            if (among.settling) {
                hand_in(v, j, sim::hand_in::ack);
            } else if (moment_now >= j.end_at) {
                hand_in(v, j, j.end);
            } else {
                renew(v, j);
                j.renew_at = moment_now + of.visibility / 3;
                keep(v, std::move(j));
            }
        }
        settle(v);
        if (among.settling || v.is_leaving) return;
        const auto doubtful = among.told.is_doubtful(v.key) && random.chance(20);
        if (moment_now >= v.leave_at || doubtful) leave(v);
    }

    static void keep(visit& v, job j) {
        const auto next = std::min(j.renew_at, j.end_at);
        v.jobs.emplace(next, std::move(j));
    }

    // ---- messages ----

    void receive(visit& v) {
        v.from.async_receive(in_this_visit([](state& me, visit& here, boost::system::error_code failed, client::received came) {
            if (here.is_leaving) return;  // what still comes is given back too
            if (failed) return me.go();
            for (auto& d : came.deliveries) me.take(here, d);
            me.settle(here);
            me.receive(here);
        }));
    }

    void take(visit& v, client::delivery& d) {
        std::optional<sim::dead_letter> died;
        if (d.origin) died = sim::dead_letter{d.origin->topic, d.origin->subscription, d.origin->partition, d.origin->sequence, d.origin->failures};
        // The life that matters of a dead letter is that of the message that died.
        const auto who = died ? origin_reader(v, *died) : v.who;
        const auto token = died ? sim::token_range{died->partition, died->at, died->at, died->failures} : token_of(d);
        among.told.tell(died ? "arrived as a dead letter, after so many failures" : "delivered", who, token, [&](sim::checker& judge, timestamp when) {
            judge.delivered(when, v.who, {d.partition, d.sequence, d.attempt, std::move(d.message.payload)}, died);
        });
        among.told.delivered(d.attempt, died.has_value());
        d.message = {};
        decide(v, d);
    }

    sim::reader origin_reader(const visit& v, const sim::dead_letter& died) const {
        for (const auto& s : among.subscriptions)
            if (s.topic.name == died.topic && s.name == died.subscription) return {v.key, 1, s.id, s.topic.id};
        return v.who;
    }

    void decide(visit& v, const client::delivery& d) {
        job j{d, v.who};
        if (comes_back && random.chance(700)) start(v, j, random.chance(850));
        const auto choice = among.settling ? 0 : random.below(1000);
        if (choice < 650) return hand_in(v, j, sim::hand_in::ack);
        if (choice < 700) return hand_in(v, j, sim::hand_in::nack);
        if (choice < 705) return hand_in(v, j, sim::hand_in::reject);
        if (choice < 730 && !comes_back) return hand_in(v, j, sim::hand_in::release);
        const auto length = milliseconds(random.below(static_cast<std::uint64_t>(of.visibility.count()) * 3));
        j.end_at = history::clock::now() + length;
        j.end = random.chance(100) ? sim::hand_in::nack : sim::hand_in::ack;
        if (choice >= 750 && !comes_back) start(v, j, random.chance(850));
        keep(v, std::move(j));
    }

    void start(visit& v, job& j, bool is_careful) {
        among.told.tell("start", v.who, token_of(j.what), [&](sim::checker& judge, timestamp when) { judge.start_sent(when, v.who, {token_of(j.what)}); });
        j.is_started = v.from.start(j.what);  // in vain while the connection is away
        if (is_careful) j.renew_at = history::clock::now() + of.visibility / 3;
    }

    void renew(visit& v, const job& j) {
        const auto sent = history::now();
        const auto token = token_of(j.what);
        v.from.async_extend(j.what, in_this_visit([token, sent, is_shown = j.is_shown](state& me, visit& here, boost::system::error_code failed, const client::settlement& done) {
            if (failed) return;
            if (!done.lost.empty()) return me.lease_lost(here, token);
            if (is_shown) me.adopted(here, token, sent);
            me.among.told.tell("extended", here.who, token, [&](sim::checker& judge, timestamp) { judge.extend_answered(sent, here.who, {token}, {}); });
        }));
    }

    /// The first answer of the broker that was come back to: the lease is this consumer's, unless it has handed the message in meanwhile.
    void adopted(visit& v, const sim::token_range& token, timestamp sent) {
        const auto found = std::find_if(v.jobs.begin(), v.jobs.end(), [&](const auto& entry) {
            const auto its = token_of(entry.second.what);
            return entry.second.is_shown && its.partition == token.partition && its.first == token.first && its.attempt == token.attempt;
        });
        if (found == v.jobs.end()) return;
        found->second.is_shown = false;
        among.told.taken_up();
        among.told.tell("taken up again", v.who, token, [&](sim::checker& judge, timestamp when) { judge.adopted(sent, when, v.who, {token}, {}); });
    }

    /// Somebody else has it: it is dropped, or its holder has not heard of it and hands it in all the same.
    void lease_lost(visit& v, const sim::token_range& token) {
        among.told.tell("extended, lost", v.who, token, [](sim::checker&, timestamp) {});
        if (random.chance(500)) return;
        std::erase_if(v.jobs, [&](const auto& j) {
            const auto its = token_of(j.second.what);
            const auto is_it = its.partition == token.partition && its.first == token.first && its.attempt == token.attempt;
            if (is_it) v.from.set_aside(j.second.what);  // or a connection that comes back shows it, and may get it
            return is_it;
        });
    }

    void hand_in(visit& v, const job& j, sim::hand_in how) {
        const auto& d = j.what;
        const auto token = token_of(d);
        among.told.tell(name_of(how), j.given_to, token, [&](sim::checker& judge, timestamp when) {
            v.given.push_back({judge.hand_in_sent(when, j.given_to, how, {token}), how, token, j.is_started});
        });
        switch (how) {
            case sim::hand_in::ack: return v.from.ack(d);
            case sim::hand_in::nack: return v.from.nack(d, "it failed");
            case sim::hand_in::reject: return v.from.reject(d, "it cannot be done");
            case sim::hand_in::release: return v.from.release(d);
        }
    }

    void settle(visit& v) {
        if (v.is_settling || v.given.empty() || v.is_leaving) return;
        v.is_settling = true;
        v.settling = std::exchange(v.given, {});
        v.from.async_settle(in_this_visit([](state& me, visit& here, boost::system::error_code failed, const client::settlement& done) {
            here.is_settling = false;
            me.settled(here, std::exchange(here.settling, {}), failed, done);
            me.settle(here);
        }));
    }

    /// A settlement names every loss since the last one, also of what was handed in after it was asked for: the next will not name it again.
    void settled(visit& v, std::vector<handed_in> all, boost::system::error_code failed, const client::settlement& done) {
        std::erase_if(v.given, [&](const handed_in& h) {
            const auto is_named = covers(done.lost, h.token);
            if (is_named) all.push_back(h);
            return is_named;
        });
        const auto is_unknown = failed || done.lost.size() >= lost_told_max;
        const auto lost = tokens_of(done.lost);
        std::size_t late = 0;
        for (const auto& h : all) {
            const auto is_lost = covers(done.lost, h.token);
            late += is_lost;
            const auto is_gone = is_lost && comes_back && went_with_its_connection(all, h.token);
            among.told.tell(is_unknown ? "its fate is unknown" : is_lost ? "settled, lost" : "settled", v.who, h.token, [&](sim::checker& judge, timestamp when) {
                if (is_unknown || is_gone) judge.hand_in_unanswered(h.key);
                else judge.hand_in_answered(when, h.key, lost);
            });
        }
        if (!is_unknown) among.told.settled(all.size(), late);
    }

    scene& among;
    boost::asio::io_context& io;
    const host_number where;
    const subscription_in_use of;
    const bool comes_back;
    sim::random_source random;
    boost::asio::steady_timer clock;
    std::shared_ptr<visit> now;
    moment back_at{};
};

consumer::consumer(scene& among, boost::asio::io_context& io, host_number where, const subscription_in_use& of, bool comes_back, std::uint64_t seed)
    : state_(std::make_shared<state>(among, io, where, of, comes_back, seed)) {
    state_->come();
    state_->tick();
}

consumer::~consumer() = default;

}  // namespace millrace::blackbox
