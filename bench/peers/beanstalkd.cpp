// beanstalkd by its protocol, which has no C library in Debian: put, reserve and delete, each pipelined and each answered.
#include <cerrno>
#include <charconv>
#include <deque>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load.hpp"
#include "bench/peers/peers.hpp"
#include "bench/peers/sockets.hpp"

namespace millrace::bench {
namespace {

constexpr std::uint64_t reserves_max = 1'000;  // in one round

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

class tube_connection {
public:
    explicit tube_connection(const load_settings& settings) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        const auto server = parse_server(settings.server);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(server.port);
        if (::inet_pton(AF_INET, server.host.c_str(), &address.sin_addr) != 1) throw std::runtime_error("'" + server.host + "' is no IPv4 address");
        if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("connect");
        const int on = 1;
        ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~tube_connection() { ::close(socket_); }
    tube_connection(const tube_connection&) = delete;
    tube_connection& operator=(const tube_connection&) = delete;

    template <class... Part>
    void send(const Part&... parts) { (out_.append(parts), ...); }

    pollfd wanted() const { return {socket_, static_cast<short>(out_.size() > written_ ? POLLIN | POLLOUT : POLLIN), 0}; }

    void flush() {
        while (written_ < out_.size()) {
            const auto put = ::send(socket_, out_.data() + written_, out_.size() - written_, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (put < 0 && (errno == EAGAIN || errno == EINTR)) return;
            if (put < 0) fail("send");
            written_ += static_cast<std::size_t>(put);
        }
        out_.clear();
        written_ = 0;
    }

    void fill() {
        in_.erase(0, std::exchange(taken_, 0));
        const auto had = in_.size();
        in_.resize(had + (256 << 10));
        const auto got = ::recv(socket_, in_.data() + had, in_.size() - had, MSG_DONTWAIT);
        in_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (got == 0) throw std::runtime_error("beanstalkd has closed the connection");
        if (got < 0 && errno != EAGAIN && errno != EINTR) fail("receive");
    }

    struct answer {
        std::string_view line;
        std::string_view body;  // of RESERVED
    };

    /// False when there is none whole. Good until the next fill().
    bool take(answer& a) {
        const auto rest = std::string_view(in_).substr(taken_);
        const auto end = rest.find("\r\n");
        if (end == std::string_view::npos) return false;
        a = {rest.substr(0, end), {}};
        auto size = end + 2;
        if (a.line.starts_with("RESERVED ")) {
            std::size_t bytes = 0;
            std::from_chars(a.line.data() + a.line.rfind(' ') + 1, a.line.data() + a.line.size(), bytes);
            if (rest.size() < size + bytes + 2) return false;
            a.body = rest.substr(size, bytes);
            size += bytes + 2;
        }
        taken_ += size;
        return true;
    }

private:
    int socket_;
    std::string out_;
    std::size_t written_ = 0;
    std::string in_;
    std::size_t taken_ = 0;
};

class publishing final : public publishing_side {
public:
    publishing(const load_settings& settings, answer_handler answered) : tubes_(settings.topic_names()), answered_(std::move(answered)) {
        for (std::uint32_t i = 0; i < settings.producer_connections(); ++i) connections_.push_back(std::make_unique<connection>(settings));
    }

    void publish(std::uint64_t slot, std::uint32_t producer, std::string payload) override {
        auto& c = *connections_[producer % connections_.size()];
        const auto& tube = tubes_[producer % tubes_.size()];
        if (std::exchange(c.used, &tube) != &tube) c.send("use ", tube, "\r\n");
        c.send("put 1024 0 3600 ", std::to_string(payload.size()), "\r\n", payload, "\r\n");
        c.unanswered.push_back(slot);
    }

    void wait(steady::time_point until) override {
        const auto before = answers_;
        exchange(
            connections_, until,
            [&](connection& c, const tube_connection::answer& a) {
                if (a.line.starts_with("USING ")) return;
                if (!a.line.starts_with("INSERTED ")) throw std::runtime_error("put: beanstalkd answered " + std::string(a.line));
                const auto slot = c.unanswered.front();
                c.unanswered.pop_front();
                ++answers_;
                answered_(slot);
            },
            [&] { return answers_ != before; });
    }

private:
    struct connection : tube_connection {
        using tube_connection::tube_connection;
        const std::string* used = nullptr;  // the tube that it puts to
        std::deque<std::uint64_t> unanswered;
    };

    const std::vector<std::string> tubes_;
    const answer_handler answered_;
    std::vector<std::unique_ptr<connection>> connections_;
    std::uint64_t answers_ = 0;
};

/// In rounds: a reserve that waits holds up what was sent behind it, so only the first of a round does; the deletes go out before the next round. A
/// round asks for twice as many as the last one brought.
class consuming final : public consuming_side {
public:
    consuming(const load_settings& settings, message_handler received) : received_(std::move(received)) {
        for (std::uint32_t i = 0; i < settings.consumers; ++i) {
            auto& c = *connections_.emplace_back(std::make_unique<connection>(settings));
            for (const auto& tube : settings.topic_names()) c.send("watch ", tube, "\r\n");
            reserve(c);
        }
    }

    void wait(steady::time_point until) override {
        const auto before = messages_;
        exchange(connections_, until, [&](connection& c, const tube_connection::answer& a) { on_answer(c, a); }, [&] { return messages_ != before; });
    }

    void finish() override {
        is_ending_ = true;
        settle(connections_, [&](connection& c, const tube_connection::answer& a) { on_answer(c, a); });
    }

private:
    struct connection : tube_connection {
        using tube_connection::tube_connection;
        std::uint64_t reserves = 0;  // unanswered
        std::uint64_t deletes = 0;
        std::uint64_t brought = 0;   // by this round

        bool is_settled() const { return reserves + deletes == 0; }
    };

    void reserve(connection& c) {
        const auto wanted = std::min(2 * std::exchange(c.brought, 0) + 1, reserves_max);
        c.send("reserve-with-timeout 1\r\n");
        for (std::uint64_t i = 1; i < wanted; ++i) c.send("reserve-with-timeout 0\r\n");
        c.reserves = wanted;
    }

    void on_answer(connection& c, const tube_connection::answer& a) {
        if (a.line.starts_with("WATCHING ")) return;
        if (a.line == "DELETED") {
            --c.deletes;
            return;
        }
        if (a.line.starts_with("RESERVED ")) {
            ++messages_;
            ++c.brought;
            if (received_(a.body)) {
                c.send("delete ", a.line.substr(9, a.line.rfind(' ') - 9), "\r\n");
                ++c.deletes;
            }
        } else if (a.line != "TIMED_OUT" && a.line != "DEADLINE_SOON") {
            throw std::runtime_error("beanstalkd answered " + std::string(a.line));
        }
        if (--c.reserves == 0 && !is_ending_) reserve(c);
    }

    const message_handler received_;
    std::vector<std::unique_ptr<connection>> connections_;
    std::uint64_t messages_ = 0;
    bool is_ending_ = false;
};

class beanstalkd_peer final : public peer_of<publishing, consuming> {
public:
    void set_up(const load_settings&, bool) override {}  // a tube is there while it is used
    void tear_down(const load_settings&, bool) override {}
};

}  // namespace

std::unique_ptr<peer> make_beanstalkd() { return std::make_unique<beanstalkd_peer>(); }

}  // namespace millrace::bench
