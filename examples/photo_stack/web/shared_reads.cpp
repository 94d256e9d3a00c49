#include "examples/photo_stack/web/shared_reads.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

namespace asio = boost::asio;

/// Those who share a read.
struct shared_reads::batch {
    batch(const asio::any_io_executor& loop, std::chrono::milliseconds patience, reading r) : read(std::move(r)), changed(loop, patience) {}

    const reading read;
    log_positions after;
    bool started = false, ended = false, given_up = false;
    asio::steady_timer changed;  // runs out when it was not started in time
    found text;
    std::exception_ptr thrown;
};

asio::awaitable<shared_reads::found> shared_reads::run(std::string key, log_positions after, reading read) {
    const auto mine = join(key, after, std::move(read));
    while (!mine->ended && !mine->given_up) {
        const auto [interrupted] = co_await mine->changed.async_wait(asio::as_tuple(asio::use_awaitable));
        if (interrupted || mine->started || mine->given_up) continue;
        mine->given_up = true;
        reads_.at(key).next.reset();
    }
    if (mine->given_up) throw overloaded("too many ask for the same; try again in a few seconds");
    if (mine->thrown) std::rethrow_exception(mine->thrown);
    co_return mine->text;
}

shared_reads::batch_pointer shared_reads::join(const std::string& key, const log_positions& after, reading read) {
    auto& those = reads_[key];
    if (!those.next) those.next = std::make_shared<batch>(loop_, patience_, std::move(read));
    const auto joined = those.next;
    joined->after = later_of(joined->after, after);
    if (!those.now) start(key);
    return joined;
}

void shared_reads::start(const std::string& key) {
    auto& those = reads_.at(key);
    those.now = std::exchange(those.next, nullptr);
    if (!those.now) {
        reads_.erase(key);
        return;
    }
    those.now->started = true;
    those.now->changed.expires_at(std::chrono::steady_clock::time_point::max());
    asio::co_spawn(loop_, perform(key, those.now), asio::detached);
}

asio::awaitable<void> shared_reads::perform(std::string key, batch_pointer b) {
    try {
        b->text = co_await b->read(b->after);
    } catch (...) {
        b->thrown = std::current_exception();
    }
    b->ended = true;
    b->changed.cancel();
    start(key);
}

}  // namespace photo_web
