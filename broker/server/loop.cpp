#include "broker/server/loop.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

namespace millrace::server {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);

namespace {

/// A connection that always has more to read lets the others in after so many bytes.
constexpr std::size_t turn_bytes = 512u << 10;
constexpr auto sweep_interval = std::chrono::milliseconds{500};
constexpr auto write_timeout = std::chrono::seconds{30};

}  // namespace

loop::loop(asio::io_context& io, std::uint32_t index, loops_common& common, const broker_settings& settings)
    : io_(io),
      place_{index, static_cast<std::uint32_t>(common.all.size())},
      common_(common),
      settings_(settings),
      wakefulness_(common.store.level() >= durability::disk ? settings.stay_awake : std::chrono::microseconds{0}),
      timer_(io),
      deadline_timer_(io) {
    settings_.session.level = common_.store.level();
    if (!settings_.session.access) return;
    access_ = *settings_.session.access;
    settings_.session.access = &*access_;
}

void loop::turn() {
    while (!io_.stopped()) {
        if (!wakefulness_.is_awake()) {
            io_.run_one();
        } else if (io_.poll_one() == 0) {
            wakefulness_.look(now());
            std::this_thread::yield();
        }
    }
}

// ---- its shard comes and goes ----

void loop::open(driver::opened_shard opened, std::uint64_t generation, core::fencing_epoch epoch) {
    generation_ = generation;
    epoch_ = opened.epoch;
    settings_.session.epoch = epoch;
    router_.emplace(std::move(opened.shard), settings_.driver, place_, counted_);
    look_at_space();
    unavailable_ = {};
}

void loop::run() {
    run_driver();  // what it has found in the store is told before anybody comes
    if (!std::exchange(watching_, true)) asio::co_spawn(io_, watch_time(), asio::detached);
}

void loop::close(const error& why, const error& unavailable) {
    unavailable_ = unavailable;
    if (!router_) return;
    counted_ = router_->own().counted();
    router_.reset();
    deadline_timer_.cancel();
    armed_deadline_.reset();
    for (const auto& [id, c] : connections_) dismiss(*c, why);
}

/// Ends a session, also one that waits for its client's next word.
void loop::dismiss(connection& c, const error& why) {
    c.session().close(why);
    c.write();
    boost::system::error_code ignored;  // it is closed already, then
    c.socket().shutdown(tcp::socket::shutdown_receive, ignored);  // wakes serve()
}

// ---- connections ----

void loop::adopt(tcp::socket socket, std::uint64_t key, const error& refused) {
    const auto number = ++sessions_opened_ * place_.count + place_.index;  // so that everybody can tell whose it is
    auto session = settings_.session;
    session.key = key;
    auto c = std::make_shared<connection>(std::move(socket), core::session_id{number}, session, now());
    connections_.emplace(number, c);
    if (refused)
        c->session().close(refused);
    else if (unavailable_)
        c->session().close(unavailable_);
    asio::co_spawn(io_, serve(c), asio::detached);
}

asio::awaitable<void> loop::serve(std::shared_ptr<connection> c) {
    std::array<std::byte, 2048> front;  // read while waiting: a small request takes one call, and an idle connection no more memory than this
    std::size_t turn = 0;
    bool drained = true;  // the last read took all there was
    bool told = false;    // that it opened
    c->write();  // a session that was refused at the door has its goodbye to say
    while (c->socket().is_open() && !c->session().closing()) {
        std::size_t n = 0;
        if (drained) {
            turn = 0;
            const auto [failed, got] = co_await c->socket().async_read_some(asio::buffer(front), awaiting);
            if (failed) break;
            n = got;
            drained = n < front.size();
            c->session().received(now(), std::span(front).first(n));
        } else {
            const auto space = c->session().prepare();
            boost::system::error_code ec;
            n = c->socket().read_some(asio::buffer(space.data(), space.size()), ec);
            drained = ec == asio::error::would_block || n < space.size();
            if (ec == asio::error::would_block) continue;
            if (ec) break;
            c->session().received(now(), n);
        }
        take_requests(*c);
        if (!told && c->session().greeted()) {
            told = true;
            tell_opened(*c);
        }
        turn += n;
        if (turn < turn_bytes) continue;
        turn = 0;
        co_await asio::post(io_, asio::use_awaitable);
    }
    end_session(c->session().id());
    if (c->session().closing()) {
        ++sessions_closed_[c->session().close_reason().code];
        tell_closed(*c, c->session().close_reason());
        c->write();  // ends the connection when the goodbye is out
    } else {
        if (told) tell_closed(*c, {});
        c->abort();
    }
}

namespace {

/// "session 7 (resizer, token web)"
std::string title_of(const wire_session& s) {
    const auto token = s.token_name().empty() ? std::string() : ", token " + s.token_name();
    return "session " + std::to_string(static_cast<std::uint64_t>(s.id())) + " (" + s.client_name() + token + ")";
}

}  // namespace

void loop::tell_opened(connection& c) {
    if (!spdlog::should_log(spdlog::level::debug)) return;
    const auto& s = c.session();
    boost::system::error_code gone;
    const auto from = c.socket().remote_endpoint(gone).address().to_string();
    log_line(spdlog::level::debug, {{"session", static_cast<std::uint64_t>(s.id())}, {"client", s.client_name()}, {"token", s.token_name()}, {"from", from}},
             title_of(s) + " opened from " + from);
}

/// Without a reason the client has left by itself.
void loop::tell_closed(connection& c, const error& why) {
    const auto& s = c.session();
    const auto id = static_cast<std::uint64_t>(s.id());
    if (!why) {
        if (spdlog::should_log(spdlog::level::debug))
            log_line(spdlog::level::debug, {{"session", id}, {"client", s.client_name()}, {"token", s.token_name()}}, title_of(s) + " left");
        return;
    }
    if (!closings_.take(now())) return;
    log_line(spdlog::level::info,
             {{"session", id}, {"client", s.client_name()}, {"token", s.token_name()}, {"error", name_of(why.code)}, {"reason", why.what}},
             title_of(s) + " closed: " + to_string(why));
}

/// What a flood of clients kept from the log.
void loop::tell_left_out(timestamp now) {
    if (const auto n = closings_.left_out(now))
        log_line(spdlog::level::info, {{"left_out", n}}, std::to_string(n) + " more sessions were closed within " +
                                                          std::to_string(closings_.period().count()) + " s, which the log leaves out");
}

// ---- the router ----

void loop::take_requests(connection& c) {
    auto at = now();
    c.note_time(at);
    wakefulness_.heard(at);
    auto& session = c.session();
    while (auto r = router_ && !c.waits() ? session.next() : std::nullopt) {
        if (auto* p = std::get_if<driver::publish_request>(&*r)) {
            router_->publish(at, *p);
        } else if (const auto* former = std::get_if<former_session>(&*r)) {
            end_former(c, *former);
            at = now();  // the driver has been told a later time meanwhile
        } else {
            router_->submit(at, std::get<core::any_input>(std::move(*r)));
        }
    }
    to_write_.push_back(c.shared_from_this());
    run_driver();
    schedule_flush();
}

/// A group is closed only after everything that is readable by now has been read: the posted flush comes behind the handlers that are ready.
void loop::schedule_flush() {
    if (flush_scheduled_) return;
    flush_scheduled_ = true;
    asio::post(io_, [this] {
        flush_scheduled_ = false;
        if (router_) router_->own().flush(now());
        run_driver();
    });
}

void loop::run_driver() {
    if (running_) return;
    running_ = true;
    while (router_) {
        auto a = router_->take_actions(now());
        if (a.empty()) break;
        perform(a);
        if (take_finished()) router_->own().flush(now());
    }
    running_ = false;
    if (router_ && place_.count > 1) send_parcels();
    const auto writers = std::exchange(to_write_, {});
    for (const auto& c : writers) c->write();
    arm_deadline();
}

void loop::send_parcels() {
    for (auto& sent : router_->take_parcels()) {
        ++common_.parcels;
        auto& to = *common_.all[sent.to];
        asio::post(to.io_, [&to, from = place_.index, generation = generation_, what = std::move(sent.what)]() mutable {
            if (!to.router_ || generation != to.generation_) return;
            to.router_->take(to.now(), from, std::move(what));
            to.run_driver();
            to.schedule_flush();
        });
    }
}

/// A deadline fires behind everything that is readable when it is due: a late ack is better than a lost one. One that has moved away is left to fire early.
void loop::arm_deadline() {
    const auto due = router_ ? router_->own().next_deadline() : std::nullopt;
    if (due == armed_deadline_ || (due && armed_deadline_ && *armed_deadline_ < *due) || stopping_) return;
    armed_deadline_ = due;
    if (!due) {
        deadline_timer_.cancel();
        return;
    }
    deadline_timer_.expires_after(std::max(std::chrono::microseconds{0}, *due - now()));
    deadline_timer_.async_wait([this](const boost::system::error_code& ec) {
        if (ec) return;
        asio::post(io_, [this] {
            armed_deadline_.reset();
            if (router_) router_->own().on_time(now());
            run_driver();
            schedule_flush();
        });
    });
}

connection* loop::find(core::session_id id) {
    const auto it = connections_.find(static_cast<std::uint64_t>(id));
    if (it == connections_.end()) return nullptr;
    to_write_.push_back(it->second);
    return it->second.get();
}

void loop::perform(driver::actions& a) {
    for (const auto& answer : a.answers)
        if (auto* c = find(answer.to.session)) c->session().answer(answer);
    for (auto& p : a.peeks)
        if (auto* c = find(p.to.session)) c->session().answer(std::move(p));
    for (auto& p : a.pushes)
        if (auto* c = find(p.session)) c->session().push(std::move(p));
    for (const auto& e : a.ended)
        if (auto* c = find(e.session)) c->session().ended(e);
    for (const auto& s : a.closes)
        if (auto* c = find(s.session)) c->session().close(s.why);
    for (const auto& alarm : a.alarms) log_line(spdlog::level::err, {{"error", name_of(alarm.code)}}, to_string(alarm));
    if (a.fatal) return common_.failed(a.fatal);
    for (auto& g : a.commits) commit(std::move(g));
    for (const auto& r : a.reads) read(r);
    for (const auto& s : a.scans) scan(s);
    if (a.wants_space) look_at_space();
}

void loop::commit(core::group g) {
    committing_inline_ = true;
    auto done = [this, generation = generation_, number = g.number, here = std::this_thread::get_id()](error failed) {
        {
            const std::lock_guard lock(finished_mutex_);
            finished_.push_back({generation, number, std::move(failed)});
        }
        if (std::this_thread::get_id() == here && committing_inline_) return wakefulness_.settled(now());
        asio::post(io_, [this] {
            if (take_finished()) router_->own().flush(now());
            run_driver();
        });
    };
    common_.store.commit(core::shard_id{place_.index}, epoch_, std::move(g.mutations), std::move(done));
    committing_inline_ = false;
}

/// Tells the driver; whether there was something for it.
bool loop::take_finished() {
    std::unique_lock lock(finished_mutex_);
    const auto finished = std::exchange(finished_, {});
    lock.unlock();
    auto told = false;
    for (const auto& f : finished) {
        if (f.failed.code == errc::sync_failed) common_.failed(f.failed);  // whoever asked
        if (!router_ || f.generation != generation_) continue;
        router_->own().on_committed(now(), f.number, f.failed);
        told = true;
    }
    return told;
}

void loop::look_at_space() {
    if (!router_) return;
    router_->own().on_space(now(), common_.store.space());
    const auto& gate = router_->own().gate();
    if (gate.is_open() == publishing_) return;
    publishing_ = gate.is_open();
    if (place_.index != 0) return;  // all have the same disk
    const auto seen = gate.seen().value_or(storage::disk_space{});
    log_line(spdlog::level::warn, {{"free_bytes", seen.free}, {"reserve_bytes", seen.reserve}},
             publishing_ ? "publishing is open again: the disk of the store has " + std::to_string(seen.free >> 20) + " MiB left"
                         : "publishing is refused: " + gate.refusal().what);
}

void loop::read(const driver::read_request& r) {
    asio::post(common_.readers, [this, generation = generation_, r] {
        auto found = common_.store.read(r.partition, r.from, r.bytes);
        asio::post(io_, [this, generation, r, found = std::move(found)]() mutable {
            if (!router_ || generation != generation_) return;
            router_->own().on_read(now(), r, std::move(found));
            run_driver();
            schedule_flush();
        });
    });
}

void loop::scan(const driver::scan_request& s) {
    asio::post(common_.readers, [this, generation = generation_, s] {
        auto found = common_.store.scan(s.range, s.limit);
        asio::post(io_, [this, generation, s, found = std::move(found)]() mutable {
            if (!router_ || generation != generation_) return;
            router_->own().on_scanned(now(), s, std::move(found));
            run_driver();
            schedule_flush();
        });
    });
}

void loop::end_session(core::session_id id) {
    if (connections_.erase(static_cast<std::uint64_t>(id)) == 0) return;
    --common_.sessions;
    if (router_) router_->submit(now(), core::input::session_lost{id});
    run_driver();
    schedule_flush();
}

/// A client that comes back is heard before the old connection's end is: what it had started must be free to be taken up again. Where the old one is
/// on another loop, the new one is not listened to before that one has told all shards.
void loop::end_former(connection& heir, const former_session& former) {
    const auto home = driver::router::home_of(former.id, place_);
    if (home == place_.index) return end_session_known_by(former, &heir);
    heir.wait();
    asio::post(common_.all[home]->io_, [&there = *common_.all[home], this, former, waits = heir.shared_from_this()] {
        there.end_session_known_by(former, nullptr);
        asio::post(io_, [this, waits] {
            waits->resume();
            if (connections_.contains(static_cast<std::uint64_t>(waits->session().id()))) take_requests(*waits);
        });
    });
}

void loop::end_session_known_by(const former_session& former, const connection* heir) {
    const auto it = connections_.find(static_cast<std::uint64_t>(former.id));
    if (it == connections_.end() || it->second.get() == heir || !it->second->session().is_known_by(former.key)) return;
    const auto gone = it->second;
    gone->session().close({errc::connection_lost, "its client has come back on another connection"});
    end_session(former.id);
    gone->write();  // the goodbye, as far as the socket takes it: nobody may be there to read
    gone->abort();
}

asio::awaitable<void> loop::watch_time() {
    while (!stopping_) {
        timer_.expires_after(sweep_interval);
        co_await timer_.async_wait(awaiting);
        const auto at = now();
        tell_left_out(at);
        std::vector<std::shared_ptr<connection>> all;
        for (const auto& [id, c] : connections_) all.push_back(c);
        for (const auto& c : all) {
            c->note_time(at);
            if (c->stuck(at - write_timeout)) {
                tell_closed(*c, {errc::slow_reader, "it has taken nothing of what waits for it for " + std::to_string(write_timeout.count()) + " s"});
                c->abort();
                continue;
            }
            c->session().check_time(at);
            if (c->session().closing()) dismiss(*c, c->session().close_reason());
        }
        look_at_space();
        run_driver();
        schedule_flush();
    }
}

std::vector<const connection*> loop::connections_after(std::uint64_t id, std::size_t limit) const {
    std::vector<const connection*> found;
    for (const auto& [number, c] : connections_)
        if (number > id) found.push_back(c.get());
    const auto by_id = [](const auto* a, const auto* b) { return a->session().id() < b->session().id(); };
    const auto count = std::min(limit, found.size());
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end(), by_id);
    found.resize(count);
    return found;
}

void loop::set_access(access_list list) {
    access_ = std::move(list);
    for (const auto& [id, c] : connections_) {
        c->session().review_access();
        if (c->session().closing()) dismiss(*c, c->session().close_reason());
    }
}

// ---- the end ----

void loop::stop_watching() {
    stopping_ = true;
    timer_.cancel();
    deadline_timer_.cancel();
}

namespace {

asio::awaitable<void> a_moment(asio::steady_timer& pause) {
    pause.expires_after(std::chrono::milliseconds{5});
    co_await pause.async_wait(awaiting);
}

}  // namespace

asio::awaitable<void> loop::finish_work(timestamp give_up) {
    asio::steady_timer pause(io_);
    while (router_ && !router_->own().idle() && now() < give_up) {
        router_->own().flush(now());
        run_driver();
        co_await a_moment(pause);
    }
}

asio::awaitable<void> loop::say_goodbye(timestamp give_up) {
    for (const auto& [id, c] : connections_) {
        c->session().close({errc::shutting_down, "the broker is stopping; connect again"});
        to_write_.push_back(c);
    }
    run_driver();
    asio::steady_timer pause(io_);
    const auto remaining = std::exchange(connections_, {});
    for (const auto& [id, c] : remaining)
        while (c->socket().is_open() && now() < give_up) co_await a_moment(pause);
    tell_left_out(timestamp::max());
}

}  // namespace millrace::server
