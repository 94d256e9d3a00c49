// Which request a coroutine works for, without every function on the way having to hand it on: a connection's coroutines run on an executor that knows it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "examples/photo_stack/spans/span.hpp"

namespace photo_web {

/// A connection's: of the request that it is in.
using span_slot = std::shared_ptr<std::optional<photo_spans::span>>;

/// Another executor, and the slot: everything but the slot is the other's business.
class span_executor {
public:
    span_executor(boost::asio::any_io_executor inner, span_slot slot) : inner_(std::move(inner)), slot_(std::move(slot)) {}

    const span_slot& slot() const { return slot_; }

    template <class Function>
    void execute(Function&& f) const {
        inner_.execute(std::forward<Function>(f));
    }

    template <class Property>
        requires boost::asio::can_query_v<const boost::asio::any_io_executor&, Property>
    decltype(auto) query(const Property& p) const {
        return boost::asio::query(inner_, p);
    }

    template <class Property>
        requires boost::asio::can_require_v<const boost::asio::any_io_executor&, Property>
    span_executor require(const Property& p) const {
        return {boost::asio::require(inner_, p), slot_};
    }

    template <class Property>
        requires boost::asio::can_prefer_v<const boost::asio::any_io_executor&, Property>
    span_executor prefer(const Property& p) const {
        return {boost::asio::prefer(inner_, p), slot_};
    }

    bool operator==(const span_executor& other) const noexcept { return inner_ == other.inner_ && slot_ == other.slot_; }

private:
    boost::asio::any_io_executor inner_;
    span_slot slot_;
};

/// Empty where there is no request: at the start, and in threads that work for whoever comes.
inline boost::asio::awaitable<span_slot> current_span() {
    const auto executor = co_await boost::asio::this_coro::executor;
    const auto* ours = executor.target<span_executor>();
    co_return ours != nullptr ? ours->slot() : nullptr;
}

/// What whoever goes on with the work is told of the request that it came with; empty when there is none.
inline boost::asio::awaitable<std::string> current_traceparent() {
    const auto here = co_await current_span();
    co_return here && *here ? photo_spans::traceparent((*here)->context()) : std::string();
}

/// From here to the end of its life is a part of that request's span.
class timed_part {
public:
    timed_part(span_slot slot, const char* name) : slot_(std::move(slot)), name_(name) {}
    timed_part(const timed_part&) = delete;
    timed_part& operator=(const timed_part&) = delete;
    ~timed_part() {
        if (slot_ && *slot_) (*slot_)->add_part(name_, begun_);
    }

private:
    span_slot slot_;
    const char* name_;
    photo_spans::span::clock::time_point begun_ = photo_spans::span::clock::now();
};

}  // namespace photo_web
