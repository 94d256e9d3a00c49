#include "broker/server/broker.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>

#include "broker/endpoint.hpp"

namespace millrace::server {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
constexpr int accepted_at_once = 16;  // before those who are in are heard

broker::broker(asio::io_context& io, std::vector<driver::opened_shard> opened, storage::store& store, broker_settings settings, clock now)
    : io_(io),
      store_(store),
      settings_(std::move(settings)),
      now_(std::move(now)),
      common_{store_, now_, readers_, std::vector<loop*>(opened.size()), {}, {}, [this](const error& why) { store_failed(why); }},
      acceptor_(io),
      reopen_timer_(io) {
    for (std::uint32_t shard = 0; shard < opened.size(); ++shard) {
        if (shard > 0) others_io_.push_back(std::make_unique<asio::io_context>(1));
        loops_.push_back(std::make_unique<loop>(shard == 0 ? io_ : *others_io_.back(), shard, common_, settings_));
        common_.all[shard] = loops_.back().get();
    }
    ++generation_;
    epoch_ = opened.front().epoch;
    for (std::uint32_t shard = 0; shard < opened.size(); ++shard) loops_[shard]->open(std::move(opened[shard]), generation_, epoch_);
    for (std::uint32_t shard = 1; shard < loops_.size(); ++shard)
        threads_.emplace_back([&own = *loops_[shard]] {
            const auto work = asio::make_work_guard(own.io());
            own.turn();
        });
}

broker::~broker() {
    for (auto& other : others_io_) other->stop();
    for (auto& thread : threads_) thread.join();
    readers_.join();
}

void broker::run() { loops_.front()->turn(); }

/// Does `what` on the thread of every loop, then `then` on this one.
void broker::on_each(const std::function<void(loop&)>& what, const std::function<void()>& then) {
    const auto left = std::make_shared<std::size_t>(loops_.size());
    const auto done = [left, then] {
        if (--*left == 0) then();
    };
    for (std::size_t shard = 1; shard < loops_.size(); ++shard)
        asio::post(loops_[shard]->io(), [this, &there = *loops_[shard], what, done] {
            what(there);
            asio::post(io_, done);
        });
    what(*loops_.front());
    done();
}

// ---- connections ----

result<tcp::endpoint> broker::listen(const tcp::endpoint& where) {
    auto bound = start_listening(acceptor_, where);
    if (!bound) return bound;
    acceptor_.non_blocking(true);
    acceptor_.set_option(asio::socket_base::enable_connection_aborted(true));  // else accept() waits for the next one, non-blocking or not
    on_each([](loop& l) { l.run(); });
    see_all([](const loop&) {});  // what each has found in its shard is told before anybody comes
    asio::co_spawn(io_, accept_loop(), asio::detached);
    return bound;
}

/// Waits without a socket: one that is made for another loop, and waits here, would end after what it belongs to.
asio::awaitable<void> broker::accept_loop() {
    for (;;) {
        const auto [closed] = co_await acceptor_.async_wait(tcp::acceptor::wait_read, awaiting);
        if (closed) break;
        boost::system::error_code ec;
        for (auto left = accepted_at_once; left > 0 && !ec; --left) ec = accept_one();
        if (!ec || ec == asio::error::would_block || ec == asio::error::connection_aborted) continue;
        if (refused_accepts_.take(now_()))  // out of descriptors: wait for some to come back
            log_line(spdlog::level::warn, {{"reason", ec.message()}, {"sessions", sessions()}},
                     "cannot accept a connection: " + ec.message() + " (" + std::to_string(sessions()) + " are open); it is tried again every 100 ms");
        if (const auto n = refused_accepts_.left_out(now_()))
            log_line(spdlog::level::warn, {{"left_out", n}}, std::to_string(n) + " more connections could not be accepted within " +
                                                              std::to_string(refused_accepts_.period().count()) + " s, which the log leaves out");
        asio::steady_timer pause(io_, std::chrono::milliseconds{100});
        co_await pause.async_wait(awaiting);
    }
}

/// Who stands at the door, to the next loop.
boost::system::error_code broker::accept_one() {
    auto& home = *loops_[next_home_];
    boost::system::error_code ec;
    auto socket = acceptor_.accept(asio::any_io_executor(home.io().get_executor()), ec);
    if (ec) return ec;
    const auto key = settings_.new_key ? settings_.new_key() : 0;
    error refused;
    if (++common_.sessions > settings_.sessions_max)
        refused = {errc::too_many_sessions, "this broker takes " + std::to_string(settings_.sessions_max) + " connections"};
    if (next_home_ == 0)
        home.adopt(std::move(socket), key, refused);
    else
        asio::post(home.io(), [&home, key, refused, s = std::move(socket)]() mutable { home.adopt(std::move(s), key, refused); });
    next_home_ = (next_home_ + 1) % loops_.size();
    return {};
}

void broker::review_access() {
    if (!settings_.session.access) return;
    on_each([list = *settings_.session.access](loop& l) { l.set_access(list); });
}

// ---- for those who look on ----

void broker::see(std::uint32_t shard, const std::function<void(const loop&)>& look) const {
    if (shard == 0) return look(*loops_.front());
    std::promise<void> seen;
    asio::post(loops_[shard]->io(), [&] {
        look(*loops_[shard]);
        seen.set_value();
    });
    seen.get_future().wait();
}

void broker::see_all(const std::function<void(const loop&)>& look) const {
    for (std::uint32_t shard = 0; shard < shards(); ++shard) see(shard, look);
}

error broker::not_ready() const {
    if (fatal_) return fatal_;
    if (draining_) return {errc::shutting_down, "the broker is stopping"};
    const auto* first = loops_.front()->driver();
    if (first && !first->gate().is_open()) return first->gate().refusal();
    return loops_.front()->unavailable();
}

store_space broker::space() const {
    const auto* first = loops_.front()->driver();
    if (!first) return {std::nullopt, false};
    return {first->gate().seen(), first->gate().is_open()};
}

// ---- when the store fails ----
//
// A commit of unknown outcome: the drivers are thrown away, every session is told (its client comes back, takes up its leases and sends again what was not
// answered), and the shards are opened again under new epochs, as often as it takes. Anything else ends the broker, and whoever watches it starts it again.

namespace {

/// Whether the same attempt may succeed later.
bool may_pass(const error& refused) {
    return refused.code == errc::disk_full || refused.code == errc::storage_failure || refused.code == errc::outcome_unknown;
}

}  // namespace

/// On the thread of the loop that noticed.
void broker::store_failed(const error& why) {
    if (!io_.get_executor().running_in_this_thread()) return asio::post(io_, [this, why] { store_failed(why); });
    if (why.code == errc::outcome_unknown)
        reload(why);
    else
        end(why);
}

/// The other loops go on to turn, so that whoever waits for them is not left waiting; what they would commit the store refuses.
void broker::end(const error& why) {
    if (fatal_) return;
    fatal_ = why;
    spdlog::critical("the store failed, nothing more can be promised: {}", to_string(why));
    io_.stop();
}

void broker::reload(const error& why) {
    if (std::exchange(reloading_, true)) return;
    spdlog::error("a commit failed, and whether it happened is unknown: {}: {} sessions are told, and the store is opened again", why.what, sessions());
    unavailable_ = {errc::storage_failure, "the store failed and is being opened again; connect again in a moment (" + why.what + ")"};
    const error told{errc::outcome_unknown, "a commit failed: what was not answered may or may not have happened; connect again and send it again (" + why.what + ")"};
    on_each([told, later = unavailable_](loop& l) { l.close(told, later); }, [this] { if (!draining_) open_again(); });
}

/// Off this thread: it takes as long as the disk does.
void broker::open_again() {
    asio::post(readers_, [this] {
        auto opened = driver::open_shards(store_, shards(), settings_.core);
        asio::post(io_, [this, opened = std::move(opened)]() mutable { opened_again(std::move(opened)); });
    });
}

void broker::opened_again(result<std::vector<driver::opened_shard>> opened) {
    if (draining_) return;
    if (opened) return open(std::move(opened.value()));
    const auto& refused = opened.failure();
    if (!may_pass(refused)) return end(refused);
    const error told{refused.code, "the store cannot be opened again yet: " + refused.what};
    if (told != unavailable_) {
        spdlog::error("{}; it is tried again every {} ms", to_string(told), settings_.reopen_pause.count());
        unavailable_ = told;
        on_each([told](loop& l) { l.set_unavailable(told); });
    }
    reopen_timer_.expires_after(settings_.reopen_pause);
    reopen_timer_.async_wait([this](const boost::system::error_code& ec) {
        if (!ec && !draining_) open_again();
    });
}

/// None runs before all are there: what one sends to another must not come too early.
void broker::open(std::vector<driver::opened_shard> opened) {
    ++generation_;
    reloading_ = false;
    epoch_ = opened.front().epoch;
    const auto shared = std::make_shared<std::vector<driver::opened_shard>>(std::move(opened));
    on_each([this, shared, generation = generation_, epoch = epoch_](loop& l) { l.open(std::move((*shared)[l.shard()]), generation, epoch); },
            [this] {
                spdlog::warn("the store is open again, under epoch {}", static_cast<std::uint64_t>(epoch_));
                on_each([](loop& l) { l.run(); });
            });
}

// ---- the end ----

void broker::drain() {
    if (draining_) return;
    draining_ = true;
    log_line(spdlog::level::info, {{"sessions", sessions()}},
             "stopping: what was taken is made durable and answered, then " + std::to_string(sessions()) + " sessions are told");
    reopen_timer_.cancel();
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    on_each([](loop& l) { l.stop_watching(); });
    asio::co_spawn(io_, finish_drain(), asio::detached);
}

asio::awaitable<void> broker::finish_drain() {
    const auto give_up = now_() + settings_.drain_timeout;
    for (auto sent = common_.parcels.load();; sent = common_.parcels) {  // until no loop has given another anything to do
        for (auto& l : loops_) co_await asio::co_spawn(l->io(), l->finish_work(give_up), asio::use_awaitable);
        if (common_.parcels == sent || now_() >= give_up) break;
    }
    for (auto& l : loops_) co_await asio::co_spawn(l->io(), l->say_goodbye(give_up), asio::use_awaitable);
    auto is_idle = true;
    see_all([&](const loop& l) { is_idle = is_idle && (!l.driver() || l.driver()->idle()); });
    log_line(spdlog::level::info, {}, is_idle ? "stopped" : "stopped, with unanswered requests: their clients send them again");
    io_.stop();
}

}  // namespace millrace::server
