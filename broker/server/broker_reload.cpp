// What happens when the store fails. A commit of unknown outcome: the driver is thrown away, every session is told (its client comes back, takes up
// its leases and sends again what was not answered), and the shard is opened again under a new epoch, as often as it takes. Anything else ends the
// broker, and whoever watches it starts it again.
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>

#include "broker/server/broker.hpp"

namespace millrace::server {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

/// Whether the same attempt may succeed later.
bool may_pass(const error& refused) {
    return refused.code == errc::disk_full || refused.code == errc::storage_failure || refused.code == errc::outcome_unknown;
}

}  // namespace

void broker::start_driver(driver::opened_shard opened) {
    ++generation_;
    epoch_ = settings_.session.epoch = opened.epoch;
    driver_.emplace(std::move(opened.shard), settings_.driver);
    look_at_space();
    unavailable_ = {};
}

void broker::fail(const error& why) {
    if (why.code == errc::outcome_unknown)
        reload(why);
    else
        end(why);
}

void broker::end(const error& why) {
    if (fatal_) return;
    fatal_ = why;
    spdlog::critical("the store failed, nothing more can be promised: {}", to_string(why));
    io_.stop();
}

void broker::reload(const error& why) {
    spdlog::error("a commit failed, and whether it happened is unknown: {}: {} sessions are told, and the store is opened again", why.what, connections_.size());
    driver_.reset();
    deadline_timer_.cancel();
    armed_deadline_.reset();
    unavailable_ = {errc::storage_failure, "the store failed and is being opened again; connect again in a moment (" + why.what + ")"};
    const error told{errc::outcome_unknown, "a commit failed: what was not answered may or may not have happened; connect again and send it again (" + why.what + ")"};
    for (const auto& [id, c] : connections_) dismiss(*c, told);
    if (!draining_) open_again();
}

/// Off this thread: it takes as long as the disk does.
void broker::open_again() {
    asio::post(readers_, [this] {
        auto opened = driver::open_shard(store_, settings_.shard, settings_.core);
        asio::post(io_, [this, opened = std::move(opened)]() mutable { opened_again(std::move(opened)); });
    });
}

void broker::opened_again(result<driver::opened_shard> opened) {
    if (draining_) return;
    if (opened) {
        start_driver(std::move(opened.value()));
        spdlog::warn("the store is open again, under epoch {}", static_cast<std::uint64_t>(epoch_));
        return run_driver();
    }
    const auto& refused = opened.failure();
    if (!may_pass(refused)) return end(refused);
    const error told{refused.code, "the store cannot be opened again yet: " + refused.what};
    if (told != unavailable_) spdlog::error("{}; it is tried again every {} ms", to_string(told), settings_.reopen_pause.count());
    unavailable_ = told;
    reopen_timer_.expires_after(settings_.reopen_pause);
    reopen_timer_.async_wait([this](const boost::system::error_code& ec) {
        if (!ec && !draining_) open_again();
    });
}

/// Ends a session, also one that waits for its client's next word.
void broker::dismiss(connection& c, const error& why) {
    c.session().close(why);
    c.write();
    boost::system::error_code ignored;  // it is closed already, then
    c.socket().shutdown(tcp::socket::shutdown_receive, ignored);  // wakes serve()
}

}  // namespace millrace::server
