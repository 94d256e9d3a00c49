// Server-sent events on their way to one browser: https://html.spec.whatwg.org/multipage/server-sent-events.html
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <string>
#include <utility>

namespace photo_web {

/// One thread.
class event_stream {
public:
    explicit event_stream(boost::asio::any_io_executor loop) : more_(std::move(loop)) {}

    /// REQUIRES: no line ends in `data`.
    void send(const std::string& event, const std::string& data) {
        waiting_ += "event: " + event + "\ndata: " + data + "\n\n";
        more_.cancel();
    }

    /// Nothing comes after what was sent.
    void finish() {
        finished_ = true;
        more_.cancel();
    }

    /// What was sent since the last call, once there is some; a sign of life when there is none within `limit`; empty at the end. Called by one coroutine.
    boost::asio::awaitable<std::string> next(std::chrono::milliseconds limit) {
        if (waiting_.empty() && !finished_) {
            more_.expires_after(limit);
            co_await more_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        }
        if (waiting_.empty() && !finished_) co_return ": still here\n\n";
        co_return std::exchange(waiting_, {});
    }

private:
    boost::asio::steady_timer more_;
    std::string waiting_;
    bool finished_ = false;
};

}  // namespace photo_web
