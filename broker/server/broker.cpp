#include "broker/server/broker.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
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

broker::broker(asio::io_context& io, driver::opened_shard opened, storage::store& store, broker_settings settings, clock now)
    : io_(io), store_(store), settings_(std::move(settings)), now_(std::move(now)), acceptor_(io), timer_(io), deadline_timer_(io), reopen_timer_(io) {
    settings_.session.level = store_.level();
    start_driver(std::move(opened));
}

broker::~broker() {
    readers_.join();
}

result<tcp::endpoint> broker::listen(const tcp::endpoint& where) {
    boost::system::error_code ec;
    const auto refused = [&] {
        return error{errc::invalid_argument, "cannot listen on " + where.address().to_string() + ":" + std::to_string(where.port()) + ": " + ec.message()};
    };
    acceptor_.open(where.protocol(), ec);
    if (ec) return refused();
    acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    acceptor_.bind(where, ec);
    if (ec) return refused();
    acceptor_.listen(4096, ec);
    if (ec) return refused();
    const auto bound = acceptor_.local_endpoint(ec);
    if (ec) return refused();
    run_driver();  // what it has found in the store is told before anybody comes
    asio::co_spawn(io_, accept_loop(), asio::detached);
    asio::co_spawn(io_, watch_time(), asio::detached);
    return bound;
}

asio::awaitable<void> broker::accept_loop() {
    while (acceptor_.is_open()) {
        auto [ec, socket] = co_await acceptor_.async_accept(awaiting);
        if (ec == asio::error::operation_aborted) break;
        if (ec) {  // out of descriptors: wait for some to come back
            if (refused_accepts_.take(now_()))
                log_line(spdlog::level::warn, {{"reason", ec.message()}, {"sessions", connections_.size()}},
                         "cannot accept a connection: " + ec.message() + " (" + std::to_string(connections_.size()) + " are open); it is tried again every 100 ms");
            asio::steady_timer pause(io_, std::chrono::milliseconds{100});
            co_await pause.async_wait(awaiting);
            continue;
        }
        const core::session_id id{++last_session_};
        auto session = settings_.session;
        if (settings_.new_key) session.key = settings_.new_key();
        auto c = std::make_shared<connection>(std::move(socket), id, session, now_());
        connections_.emplace(last_session_, c);
        if (connections_.size() > settings_.sessions_max)
            c->session().close({errc::too_many_sessions, "this broker takes " + std::to_string(settings_.sessions_max) + " connections"});
        else if (unavailable_)
            c->session().close(unavailable_);
        asio::co_spawn(io_, serve(c), asio::detached);
    }
}

asio::awaitable<void> broker::serve(std::shared_ptr<connection> c) {
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
            std::memcpy(c->session().prepare().data(), front.data(), got);
            n = got;
            drained = n < front.size();
        } else {
            const auto space = c->session().prepare();
            boost::system::error_code ec;
            n = c->socket().read_some(asio::buffer(space.data(), space.size()), ec);
            drained = ec == asio::error::would_block || n < space.size();
            if (ec == asio::error::would_block) continue;
            if (ec) break;
        }
        c->session().received(now_(), n);
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

void broker::tell_opened(connection& c) {
    if (!spdlog::should_log(spdlog::level::debug)) return;
    const auto& s = c.session();
    boost::system::error_code gone;
    const auto from = c.socket().remote_endpoint(gone).address().to_string();
    log_line(spdlog::level::debug, {{"session", static_cast<std::uint64_t>(s.id())}, {"client", s.client_name()}, {"token", s.token_name()}, {"from", from}},
             title_of(s) + " opened from " + from);
}

/// Without a reason the client has left by itself.
void broker::tell_closed(connection& c, const error& why) {
    const auto& s = c.session();
    const auto id = static_cast<std::uint64_t>(s.id());
    if (!why) {
        if (spdlog::should_log(spdlog::level::debug))
            log_line(spdlog::level::debug, {{"session", id}, {"client", s.client_name()}, {"token", s.token_name()}}, title_of(s) + " left");
        return;
    }
    if (!closings_.take(now_())) return;
    log_line(spdlog::level::info,
             {{"session", id}, {"client", s.client_name()}, {"token", s.token_name()}, {"error", name_of(why.code)}, {"reason", why.what}},
             title_of(s) + " closed: " + to_string(why));
}

/// What a flood of clients kept from the log.
void broker::tell_left_out(timestamp now) {
    if (const auto n = closings_.left_out(now))
        log_line(spdlog::level::info, {{"left_out", n}}, std::to_string(n) + " more sessions were closed within " +
                                                          std::to_string(closings_.period().count()) + " s, which the log leaves out");
    if (const auto n = refused_accepts_.left_out(now))
        log_line(spdlog::level::warn, {{"left_out", n}}, std::to_string(n) + " more connections could not be accepted within " +
                                                          std::to_string(refused_accepts_.period().count()) + " s, which the log leaves out");
}

void broker::take_requests(connection& c) {
    const auto now = now_();
    c.note_time(now);
    auto& session = c.session();
    while (auto r = driver_ ? session.next() : std::nullopt) {
        if (auto* p = std::get_if<driver::publish_request>(&*r))
            driver_->publish(now, *p);
        else if (const auto* former = std::get_if<former_session>(&*r))
            end_former(c, *former);
        else
            driver_->submit(now, std::get<core::any_input>(*r));
    }
    to_write_.push_back(c.shared_from_this());
    run_driver();
    schedule_flush();
}

/// A group is closed only after everything that is readable by now has been read: the posted flush comes behind the handlers that are ready.
void broker::schedule_flush() {
    if (flush_scheduled_) return;
    flush_scheduled_ = true;
    asio::post(io_, [this] {
        flush_scheduled_ = false;
        if (driver_) driver_->flush(now_());
        run_driver();
    });
}

void broker::run_driver() {
    if (running_) return;
    running_ = true;
    while (driver_ && !fatal_) {
        auto a = driver_->take_actions();
        if (a.empty()) break;
        perform(a);
        if (take_finished()) driver_->flush(now_());
    }
    running_ = false;
    const auto writers = std::exchange(to_write_, {});
    for (const auto& c : writers) c->write();
    arm_deadline();
}

/// A deadline fires behind everything that is readable when it is due: a late ack is better than a lost one. One that has moved away is left to fire early.
void broker::arm_deadline() {
    const auto due = driver_ ? driver_->next_deadline() : std::nullopt;
    if (due == armed_deadline_ || (due && armed_deadline_ && *armed_deadline_ < *due) || draining_) return;
    armed_deadline_ = due;
    if (!due) {
        deadline_timer_.cancel();
        return;
    }
    deadline_timer_.expires_after(std::max(std::chrono::microseconds{0}, *due - now_()));
    deadline_timer_.async_wait([this](const boost::system::error_code& ec) {
        if (ec) return;
        asio::post(io_, [this] {
            armed_deadline_.reset();
            if (driver_) driver_->on_time(now_());
            run_driver();
            schedule_flush();
        });
    });
}

connection* broker::find(core::session_id id) {
    const auto it = connections_.find(static_cast<std::uint64_t>(id));
    if (it == connections_.end()) return nullptr;
    to_write_.push_back(it->second);
    return it->second.get();
}

void broker::perform(driver::actions& a) {
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
    if (a.fatal) return fail(a.fatal);
    for (auto& g : a.commits) commit(std::move(g));
    for (const auto& r : a.reads) read(r);
    for (const auto& s : a.scans) scan(s);
    if (a.wants_space) look_at_space();
}

void broker::commit(core::group g) {
    committing_inline_ = true;
    store_.commit(settings_.shard, epoch_, std::move(g.mutations),
                  [this, generation = generation_, number = g.number, here = std::this_thread::get_id()](error failed) {
                      {
                          const std::lock_guard lock(finished_mutex_);
                          finished_.push_back({generation, number, std::move(failed)});
                      }
                      if (std::this_thread::get_id() == here && committing_inline_) return;
                      asio::post(io_, [this] {
                          if (take_finished()) driver_->flush(now_());
                          run_driver();
                      });
                  });
    committing_inline_ = false;
}

/// Tells the driver; whether there was something for it.
bool broker::take_finished() {
    std::unique_lock lock(finished_mutex_);
    const auto finished = std::exchange(finished_, {});
    lock.unlock();
    auto told = false;
    for (const auto& f : finished) {
        if (f.failed.code == errc::sync_failed) end(f.failed);  // whoever asked
        if (!driver_ || f.generation != generation_) continue;
        driver_->on_committed(now_(), f.number, f.failed);
        told = true;
    }
    return told;
}

void broker::look_at_space() {
    if (!driver_) return;
    driver_->on_space(now_(), store_.space());
    const auto& gate = driver_->gate();
    if (gate.is_open() == publishing_) return;
    publishing_ = gate.is_open();
    const auto seen = gate.seen().value_or(storage::disk_space{});
    log_line(spdlog::level::warn, {{"free_bytes", seen.free}, {"reserve_bytes", seen.reserve}},
             publishing_ ? "publishing is open again: the disk of the store has " + std::to_string(seen.free >> 20) + " MiB left"
                         : "publishing is refused: " + gate.refusal().what);
}

store_space broker::space() const {
    if (!driver_) return {std::nullopt, false};
    return {driver_->gate().seen(), driver_->gate().is_open()};
}

void broker::read(const driver::read_request& r) {
    asio::post(readers_, [this, generation = generation_, r] {
        auto found = store_.read(r.partition, r.from, r.bytes);
        asio::post(io_, [this, generation, r, found = std::move(found)]() mutable {
            if (!driver_ || generation != generation_) return;
            driver_->on_read(now_(), r, std::move(found));
            run_driver();
            schedule_flush();
        });
    });
}

void broker::scan(const driver::scan_request& s) {
    asio::post(readers_, [this, generation = generation_, s] {
        auto found = store_.scan(s.range, s.limit);
        asio::post(io_, [this, generation, s, found = std::move(found)]() mutable {
            if (!driver_ || generation != generation_) return;
            driver_->on_scanned(now_(), s, std::move(found));
            run_driver();
            schedule_flush();
        });
    });
}

void broker::end_session(core::session_id id) {
    if (connections_.erase(static_cast<std::uint64_t>(id)) == 0) return;
    if (driver_) driver_->submit(now_(), core::input::session_lost{id});
    run_driver();
    schedule_flush();
}

/// A client that comes back is heard before the old connection's end is: what it had started must be free to be taken up again.
void broker::end_former(const connection& heir, const former_session& former) {
    const auto it = connections_.find(static_cast<std::uint64_t>(former.id));
    if (it == connections_.end() || it->second.get() == &heir || !it->second->session().is_known_by(former.key)) return;
    const auto gone = it->second;
    gone->session().close({errc::connection_lost, "its client has come back on another connection"});
    end_session(former.id);
    gone->write();  // the goodbye, as far as the socket takes it: nobody may be there to read
    gone->abort();
}

asio::awaitable<void> broker::watch_time() {
    while (!draining_) {
        timer_.expires_after(sweep_interval);
        co_await timer_.async_wait(awaiting);
        const auto now = now_();
        tell_left_out(now);
        std::vector<std::shared_ptr<connection>> all;
        for (const auto& [id, c] : connections_) all.push_back(c);
        for (const auto& c : all) {
            c->note_time(now);
            if (c->stuck(now - write_timeout)) {
                tell_closed(*c, {errc::slow_reader, "it has taken nothing of what waits for it for " + std::to_string(write_timeout.count()) + " s"});
                c->abort();
                continue;
            }
            c->session().check_time(now);
            if (c->session().closing()) dismiss(*c, c->session().close_reason());
        }
        look_at_space();
        run_driver();
        schedule_flush();
    }
}

error broker::not_ready() const {
    if (fatal_) return fatal_;
    if (draining_) return {errc::shutting_down, "the broker is stopping"};
    if (driver_ && !driver_->gate().is_open()) return driver_->gate().refusal();
    return unavailable_;
}

std::vector<const connection*> broker::connections_after(std::uint64_t id, std::size_t limit) const {
    std::vector<const connection*> found;
    for (const auto& [number, c] : connections_)
        if (number > id) found.push_back(c.get());
    const auto by_id = [](const auto* a, const auto* b) { return a->session().id() < b->session().id(); };
    const auto count = std::min(limit, found.size());
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end(), by_id);
    found.resize(count);
    return found;
}

void broker::review_access() {
    for (const auto& [id, c] : connections_) {
        c->session().review_access();
        if (c->session().closing()) dismiss(*c, c->session().close_reason());
    }
}

void broker::drain() {
    if (draining_) return;
    draining_ = true;
    log_line(spdlog::level::info, {{"sessions", connections_.size()}},
             "stopping: what was taken is made durable and answered, then " + std::to_string(connections_.size()) + " sessions are told");
    timer_.cancel();
    deadline_timer_.cancel();
    reopen_timer_.cancel();
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    asio::co_spawn(io_, finish_drain(), asio::detached);
}

asio::awaitable<void> broker::finish_drain() {
    const auto give_up = now_() + settings_.drain_timeout;
    asio::steady_timer pause(io_);
    const auto wait = [&pause] {
        pause.expires_after(std::chrono::milliseconds{5});
        return pause.async_wait(awaiting);
    };
    while (driver_ && !driver_->idle() && now_() < give_up) {
        driver_->flush(now_());
        run_driver();
        co_await wait();
    }
    for (const auto& [id, c] : connections_) {
        c->session().close({errc::shutting_down, "the broker is stopping; connect again"});
        to_write_.push_back(c);
    }
    run_driver();
    const auto remaining = std::exchange(connections_, {});
    for (const auto& [id, c] : remaining)
        while (c->socket().is_open() && now_() < give_up) co_await wait();
    tell_left_out(timestamp::max());
    log_line(spdlog::level::info, {}, driver_ && !driver_->idle() ? "stopped, with unanswered requests: their clients send them again" : "stopped");
    io_.stop();
}

}  // namespace millrace::server
