// A network of machines on one machine: each host is a thread in a network namespace of its own, whose only way out is a tunnel device. What comes out of the
// tunnels is passed on by a switch in this program, which drops, delays and doubles packets as it is told. The sockets and their TCP are the kernel's.
//
//   host 1  10.77.0.1 ──tun──┐
//   host 2  10.77.0.2 ──tun──┤ the switch: for each direction of each pair, a weather
//   host 3  10.77.0.3 ──tun──┘
//
// All of it is gone when the program is, however it ends. Linux, root, /dev/net/tun.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/sim/random.hpp"

namespace millrace::blackbox {

/// Number of a host, from 1: the last part of its address.
using host_number = unsigned;

/// What happens to packets on their way from one host to another.
struct weather {
    bool cut = false;
    std::chrono::microseconds delay{0};
    std::chrono::microseconds jitter{0};  // on top of it, up to so much: packets overtake each other
    unsigned lost_permille = 0;
    unsigned doubled_permille = 0;
};

/// An event loop with a thread of its own.
class running_loop {
public:
    running_loop() = default;
    ~running_loop() { stop(); }
    running_loop(const running_loop&) = delete;
    running_loop& operator=(const running_loop&) = delete;

    void start() {
        thread_ = std::thread([this] { io_.run(); });
    }
    void stop() {
        busy_.reset();
        io_.stop();
        if (thread_.joinable()) thread_.join();
    }

    boost::asio::io_context& io() { return io_; }

    /// Performs `f` on the thread and waits for it; gives what it gives, and throws what it throws.
    template <class F>
    auto run(F f) -> decltype(f()) {
        std::packaged_task<decltype(f())()> task(std::move(f));
        auto done = task.get_future();
        boost::asio::post(io_, [&task] { task(); });
        return done.get();
    }

private:
    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> busy_{io_.get_executor()};
    std::thread thread_;
};

class network {
public:
    struct counts {
        std::uint64_t passed = 0, dropped = 0;
    };

    explicit network(std::uint64_t seed);
    ~network();

    /// `tunnel` is the host's end; taken over.
    void plug_in(host_number number, int tunnel);

    /// From now on, for packets in this direction. In force when it returns.
    void set(host_number from, host_number to, const weather& w);

    counts packets() { return loop_.run([this] { return counts_; }); }

private:
    using clock = std::chrono::steady_clock;
    using packet = std::vector<char>;
    struct port {
        port(boost::asio::io_context& io, int tunnel) : device(io, tunnel) {}
        boost::asio::posix::stream_descriptor device;
    };

    void listen(host_number from);
    void pass(host_number from, const char* bytes, std::size_t count);
    void send(host_number to, const char* bytes, std::size_t count);
    void send_later(clock::time_point when, host_number to, packet p);
    void wait();

    running_loop loop_;
    sim::random_source random_;
    std::map<host_number, port> ports_;
    std::map<std::pair<host_number, host_number>, weather> weather_;
    std::multimap<clock::time_point, std::pair<host_number, packet>> later_;
    boost::asio::steady_timer due_{loop_.io()};
    counts counts_;
};

class host {
public:
    /// Throws std::runtime_error with the reason when this process may not have such a thing.
    host(network& to, host_number number);
    ~host();
    host(const host&) = delete;
    host& operator=(const host&) = delete;

    host_number number() const { return number_; }
    std::string address() const { return "10.77.0." + std::to_string(number_); }

    /// What its thread runs: sockets opened there, and processes started there, are on its network.
    boost::asio::io_context& io() { return loop_.io(); }
    template <class F>
    auto run(F f) -> decltype(f()) {
        return loop_.run(std::move(f));
    }

    /// Its thread stands still until thaw(), as the processes of a stopped machine do; its kernel goes on answering.
    void freeze();
    void thaw();

private:
    const host_number number_;
    std::promise<void> thawed_;
    running_loop loop_;
};

}  // namespace millrace::blackbox
