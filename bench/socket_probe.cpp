#include "bench/socket_probe.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

constexpr std::size_t answer_bytes = 32;

int checked(int outcome, const char* doing) {
    if (outcome < 0) throw std::runtime_error(std::string("socket probe: ") + doing + ": " + std::strerror(errno));
    return outcome;
}

class descriptor {
public:
    explicit descriptor(int fd) : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    descriptor& operator=(descriptor&&) = delete;
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    operator int() const { return fd_; }

private:
    int fd_;
};

/// One end of all connections. Answers each `expected` bytes with `reply` ones.
class side {
public:
    side(std::size_t expected, std::size_t reply) : expected_(expected), reply_(reply) {}

    void add(descriptor socket) {
        const int on = 1;
        checked(::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
        epoll_event event{.events = EPOLLIN, .data = {.u64 = sockets_.size()}};
        checked(::epoll_ctl(poll_, EPOLL_CTL_ADD, socket, &event), "epoll_ctl");
        sockets_.push_back(std::move(socket));
        missing_.push_back(expected_);
    }

    void send_to_all() {
        for (std::size_t i = 0; i < sockets_.size(); ++i) send(i);
    }

    /// Answers until `goes_on()` says no, asked after each round, or the other side is gone. How often.
    template <class GoesOn>
    std::uint64_t answer(GoesOn goes_on) {
        std::uint64_t rounds = 0;
        std::array<epoll_event, 512> events;
        do {
            const auto ready = checked(::epoll_wait(poll_, events.data(), events.size(), 100), "epoll_wait");
            for (int i = 0; i < ready; ++i) {
                const auto which = events[static_cast<std::size_t>(i)].data.u64;
                const auto got = ::recv(sockets_[which], buffer_.data(), missing_[which], 0);
                if (got <= 0) return rounds;
                missing_[which] -= static_cast<std::size_t>(got);
                if (missing_[which] > 0) continue;
                missing_[which] = expected_;
                ++rounds;
                send(which);
            }
        } while (goes_on());
        return rounds;
    }

private:
    void send(std::size_t which) { ::send(sockets_[which], buffer_.data(), reply_, MSG_NOSIGNAL); }  // a socket with nothing on its way takes it whole

    const std::size_t expected_, reply_;
    const descriptor poll_{checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")};
    std::vector<descriptor> sockets_;
    std::vector<std::size_t> missing_;  // bytes of the message that is coming
    std::vector<char> buffer_ = std::vector<char>(std::max(expected_, reply_));
};

}  // namespace

double probe_sockets(std::uint32_t connections, std::size_t request_bytes, std::chrono::milliseconds time) {
    const descriptor listener(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const place = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    checked(::bind(listener, place, length), "bind");
    checked(::getsockname(listener, place, &length), "getsockname");
    checked(::listen(listener, 128), "listen");

    side asking(answer_bytes, request_bytes), answering(request_bytes, answer_bytes);
    for (std::uint32_t i = 0; i < connections; ++i) {
        descriptor near(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
        checked(::connect(near, place, length), "connect");
        answering.add(descriptor(checked(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept")));
        asking.add(std::move(near));
    }
    const std::jthread other([&](const std::stop_token& stop) { answering.answer([&] { return !stop.stop_requested(); }); });
    const auto began = std::chrono::steady_clock::now();
    asking.send_to_all();
    const auto rounds = asking.answer([&] { return std::chrono::steady_clock::now() - began < time; });
    return static_cast<double>(rounds) / std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace millrace::bench
