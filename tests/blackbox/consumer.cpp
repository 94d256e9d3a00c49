#include "tests/blackbox/consumer.hpp"

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
    bool is_started = false;
    bool is_renewed = false;
    moment renew_at = moment::max();
    moment end_at = moment::max();
    sim::hand_in end{};
};

/// One connection, and what is held over it.
struct visit {
    visit(boost::asio::io_context& io, client::connection_settings settings) : broker(io.get_executor(), std::move(settings)) {}

    client::connection broker;
    client::consumer from;
    sim::session_key key{};
    sim::reader who;
    std::multimap<moment, job> jobs;  // by when they are looked at next
    std::vector<sim::hand_in_key> handed_in;
    bool is_settling = false;
    bool is_leaving = false;
    moment leave_at = moment::max();
};

sim::token_range token_of(const client::delivery& d) { return {d.partition, d.sequence, d.sequence, d.attempt}; }

std::vector<sim::token_range> tokens_of(const std::vector<client::lost_range>& lost) {
    std::vector<sim::token_range> out;
    for (const auto& r : lost) out.push_back({r.partition, r.first, r.last, r.attempt});
    return out;
}

}  // namespace

struct consumer::state : std::enable_shared_from_this<state> {
    state(scene& s, boost::asio::io_context& to_run_on, host_number here, const subscription_in_use& which, std::uint64_t seed)
        : among(s), io(to_run_on), where(here), of(which), random(seed), clock(to_run_on) {}

    client::connection_settings settings() const {
        client::connection_settings s;
        s.server = among.server;
        s.name = "consumer of " + of.name;
        s.connect_timeout = 2s;
        s.reconnect.enabled = false;
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
                hand_in(v, j.what, sim::hand_in::ack);
            } else if (moment_now >= j.end_at) {
                hand_in(v, j.what, j.end);
            } else {
                renew(v, j.what);
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
        among.told.tell([&](sim::checker& judge, timestamp when) {
            judge.delivered(when, v.who, {d.partition, d.sequence, d.attempt, std::move(d.message.payload)}, died);
        });
        among.told.delivered(d.attempt, died.has_value());
        d.message = {};
        decide(v, d);
    }

    void decide(visit& v, const client::delivery& d) {
        const auto choice = among.settling ? 0 : random.below(1000);
        if (choice < 650) return hand_in(v, d, sim::hand_in::ack);
        if (choice < 700) return hand_in(v, d, sim::hand_in::nack);
        if (choice < 705) return hand_in(v, d, sim::hand_in::reject);
        if (choice < 730) return hand_in(v, d, sim::hand_in::release);
        job j{d};
        const auto length = milliseconds(random.below(static_cast<std::uint64_t>(of.visibility.count()) * 3));
        j.end_at = history::clock::now() + length;
        j.end = random.chance(100) ? sim::hand_in::nack : sim::hand_in::ack;
        if (choice >= 750) start(v, j, random.chance(850));
        keep(v, std::move(j));
    }

    void start(visit& v, job& j, bool is_careful) {
        among.told.tell([&](sim::checker& judge, timestamp when) { judge.start_sent(when, v.who, {token_of(j.what)}); });
        j.is_started = v.from.start(j.what);
        if (is_careful) j.renew_at = history::clock::now() + of.visibility / 3;
    }

    void renew(visit& v, const client::delivery& d) {
        const auto sent = history::now();
        v.from.async_extend(d, in_this_visit([token = token_of(d), sent](state& me, visit& here, boost::system::error_code failed, const client::settlement& done) {
            if (failed) return;
            me.among.told.tell([&](sim::checker& judge, timestamp) { judge.extend_answered(sent, here.who, {token}, tokens_of(done.lost)); });
        }));
    }

    void hand_in(visit& v, const client::delivery& d, sim::hand_in how) {
        among.told.tell([&](sim::checker& judge, timestamp when) { v.handed_in.push_back(judge.hand_in_sent(when, v.who, how, {token_of(d)})); });
        switch (how) {
            case sim::hand_in::ack: return v.from.ack(d);
            case sim::hand_in::nack: return v.from.nack(d, "it failed");
            case sim::hand_in::reject: return v.from.reject(d, "it cannot be done");
            case sim::hand_in::release: return v.from.release(d);
        }
    }

    void settle(visit& v) {
        if (v.is_settling || v.handed_in.empty() || v.is_leaving) return;
        v.is_settling = true;
        auto keys = std::exchange(v.handed_in, {});
        v.from.async_settle(in_this_visit([keys = std::move(keys)](state& me, visit& here, boost::system::error_code failed, const client::settlement& done) {
            here.is_settling = false;
            me.settled(keys, failed || done.lost.size() >= lost_told_max, tokens_of(done.lost));
            me.settle(here);
        }));
    }

    void settled(const std::vector<sim::hand_in_key>& keys, bool is_unknown, const std::vector<sim::token_range>& lost) {
        among.told.tell([&](sim::checker& judge, timestamp when) {
            for (const auto key : keys) {
                if (is_unknown) judge.hand_in_unanswered(key);
                else judge.hand_in_answered(when, key, lost);
            }
        });
        if (is_unknown) return;
        std::size_t late = 0;
        for (const auto& r : lost) late += r.last.value - r.first.value + 1;
        among.told.settled(keys.size(), late);
    }

    scene& among;
    boost::asio::io_context& io;
    const host_number where;
    const subscription_in_use of;
    sim::random_source random;
    boost::asio::steady_timer clock;
    std::shared_ptr<visit> now;
    moment back_at{};
};

consumer::consumer(scene& among, boost::asio::io_context& io, host_number where, const subscription_in_use& of, std::uint64_t seed)
    : state_(std::make_shared<state>(among, io, where, of, seed)) {
    state_->come();
    state_->tick();
}

consumer::~consumer() = default;

}  // namespace millrace::blackbox
