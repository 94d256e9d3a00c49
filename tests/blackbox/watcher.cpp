#include "tests/blackbox/watcher.hpp"

#include <boost/asio/steady_timer.hpp>

namespace millrace::blackbox {
namespace {

constexpr milliseconds between_rounds{300};

std::vector<sim::described_progress> progress_of(const client::subscription_description& d) {
    std::vector<sim::described_progress> out;
    for (const auto& p : d.partitions)
        out.push_back({p.start, p.cursor, p.high, p.published, p.acked, p.dead, p.parked, p.expired, p.skipped, p.delayed, p.ready, p.leased});
    return out;
}

client::connection_settings settings_of(const std::string& server) {
    client::connection_settings s;
    s.server = server;
    s.name = "watcher";
    s.reconnect.pause_max = 500ms;
    return s;
}

}  // namespace

struct watcher::state : std::enable_shared_from_this<state> {
    state(scene& s, boost::asio::io_context& io) : among(s), broker(io.get_executor(), settings_of(s.server)), pause(io) {}

    template <class F>
    auto alive(F f) {
        return [self = weak_from_this(), f = std::move(f)](auto&&... arguments) {
            if (const auto me = self.lock()) f(*me, std::forward<decltype(arguments)>(arguments)...);
        };
    }

    void connect() {
        broker.async_connect(alive([](state& me, boost::system::error_code failed, const client::broker_description&) {
            me.connected = !failed;
            me.rest();
        }));
    }

    void rest() {
        pause.expires_after(between_rounds);
        pause.async_wait(alive([](state& me, const boost::system::error_code& canceled) {
            if (canceled) return;
            if (!me.connected) return me.connect();
            me.begin_round();
        }));
    }

    void begin_round() {
        settled = true;
        died = arrived = 0;
        unsettled.clear();
        describe(0);
    }

    void describe(std::size_t which) {
        if (which == among.subscriptions.size()) return end_round();
        const auto& s = among.subscriptions[which];
        among.told.tell([](sim::checker& judge, timestamp) { judge.describe_sent(); });
        broker.async_describe_subscription(s.topic.name, s.name, alive([which](state& me, boost::system::error_code failed, const client::subscription_description& d) {
            if (failed) return me.rest();
            me.note(me.among.subscriptions[which], d);
            me.describe(which + 1);
        }));
    }

    void note(const subscription_in_use& s, const client::subscription_description& d) {
        among.told.tell([&](sim::checker& judge, timestamp) { judge.described(s.id, progress_of(d)); });
        if (!d.inconsistent.empty()) among.told.violate("subscription '" + s.name + "' was set aside: " + d.inconsistent);
        const auto buries = d.settings.dead_letter && !d.settings.dead_letter->empty();
        for (const auto& p : d.partitions) {
            if (buries) died += p.dead;
            if (s.id == among.subscriptions.back().id) arrived += p.published;
            if (p.ready + p.leased + p.delayed == 0) continue;
            settled = false;
            unsettled += " '" + s.name + "': " + std::to_string(p.ready) + " ready, " + std::to_string(p.leased) + " leased, " + std::to_string(p.delayed) + " delayed;";
        }
    }

    void end_round() {
        ++rounds;
        at_rest = settled && died == arrived;
        words = unsettled + (died == arrived ? "" : " " + std::to_string(died) + " have died and " + std::to_string(arrived) + " arrived");
        rest();
    }

    scene& among;
    client::connection broker;
    boost::asio::steady_timer pause;
    bool connected = false;
    bool settled = false;
    bool at_rest = false;
    std::uint64_t died = 0, arrived = 0;
    std::uint64_t rounds = 0;
    std::string unsettled, words;
};

watcher::watcher(scene& among, boost::asio::io_context& io) : state_(std::make_shared<state>(among, io)) { state_->connect(); }
watcher::~watcher() = default;
bool watcher::is_at_rest() const { return state_->at_rest; }
std::uint64_t watcher::rounds() const { return state_->rounds; }
std::string watcher::restless() const { return state_->words; }

}  // namespace millrace::blackbox
