#include <catch2/catch.hpp>

#include <array>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>

#include "client/slots.hpp"
#include "millrace/completion.hpp"
#include "millrace/error.hpp"

namespace asio = boost::asio;
using millrace::client::completion;
using boost::system::error_code;

namespace {

/// Counts the handlers that live; of any size, so that both ways of keeping them are used.
template <std::size_t Size>
struct counted {
    explicit counted(int& live, int& called) : live_(&live), called_(&called) { ++*live_; }
    counted(counted&& other) noexcept : live_(other.live_), called_(other.called_) { ++*live_; }
    ~counted() { --*live_; }
    void operator()(error_code, int value) && { *called_ += value; }

    int* live_;
    int* called_;
    std::array<char, Size> ballast_{};
};

template <std::size_t Size>
void check_life() {
    asio::io_context context;
    int live = 0, called = 0;
    {
        completion<int> first(counted<Size>(live, called), context.get_executor());
        completion<int> never_called(counted<Size>(live, called), context.get_executor());
        CHECK(live == 2);
        completion<int> second(std::move(first));
        CHECK_FALSE(first);
        CHECK(live == 2);
        second({}, 5);
        CHECK(called == 5);
        CHECK_FALSE(second);
        CHECK(live == 1);
        never_called = completion<int>(counted<Size>(live, called), context.get_executor());
        CHECK(live == 1);
    }
    CHECK(live == 0);
    CHECK(called == 5);
}

}  // namespace

TEST_CASE("a handler is kept, moved, called once and destroyed, small or large") {
    check_life<1>();
    check_life<4000>();
}

TEST_CASE("a handler of nothing but bytes is moved with them") {
    asio::io_context context;
    int called = 0;
    std::array<int, 8> own{1, 2, 3, 4, 5, 6, 7, 8};
    completion<int> first([&called, own](error_code, int value) { called = value + own[0] + own[7]; }, context.get_executor());
    completion<int> second(std::move(first));
    CHECK_FALSE(first);
    completion<int> third;
    third = std::move(second);
    third({}, 5);
    CHECK(called == 14);
}

TEST_CASE("a handler runs at once on its own executor, and is dispatched to another one") {
    asio::io_context home, other;
    int ran = 0;
    const auto count = [&](error_code, int) { ++ran; };
    completion<int> unbound(count, home.get_executor());
    unbound({}, 0);
    CHECK(ran == 1);
    completion<int> bound_home(asio::bind_executor(home.get_executor(), count), home.get_executor());
    bound_home({}, 0);
    CHECK(ran == 2);
    completion<int> bound_elsewhere(asio::bind_executor(other.get_executor(), count), home.get_executor());
    bound_elsewhere({}, 0);
    CHECK(ran == 2);
    CHECK(other.run() > 0);
    CHECK(ran == 3);
}

TEST_CASE("a handler that waits keeps its own executor running") {
    asio::io_context home, other;
    bool ran = false;
    completion<int> waiting(asio::bind_executor(other.get_executor(), [&](error_code, int) { ran = true; }), home.get_executor());
    CHECK(other.poll() == 0);
    CHECK_FALSE(other.stopped());
    waiting({}, 0);
    other.run();
    CHECK(ran);
}

TEST_CASE("slots are used again") {
    millrace::client::slots<int> all;
    const auto a = all.put(1);
    const auto b = all.put(2);
    CHECK(all.take(a) == 1);
    const auto c = all.put(3);
    CHECK(c == a);
    CHECK(all.take(b) == 2);
    CHECK(all.take(c) == 3);
    CHECK(all.size() == 0);
}

TEST_CASE("an errc compares equal after its way through Boost's error code") {
    const error_code code = millrace::make_error_code(millrace::errc::no_such_topic);
    CHECK(code == millrace::make_error_code(millrace::errc::no_such_topic));
    CHECK(code != millrace::make_error_code(millrace::errc::in_use));
    CHECK(code.message() == "there is no such topic");
}
