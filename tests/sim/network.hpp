// A connection between a client and the broker: bytes are delayed, cut at random places, held up, and lost together with the connection.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "tests/sim/event_queue.hpp"
#include "tests/sim/random.hpp"

namespace millrace::sim {

enum class side : std::uint8_t { client = 0, broker = 1 };

inline side other(side s) { return s == side::client ? side::broker : side::client; }

struct network_weather {
    std::chrono::microseconds delay_min{50};
    std::chrono::microseconds delay_max{2'000};
    std::uint64_t stall_in_1000 = 0;       // of each send: nothing arrives for a while
    std::uint64_t half_open_in_1000 = 0;   // of each lost connection: a side hears of it very late
    std::uint64_t slow_in_1000 = 0;        // of each connection: its client reads a few bytes at a time
    std::uint64_t late_in_1000 = 0;        // of what arrives: it is read only with what comes behind it, perhaps the end of the connection
};

class connection : public std::enable_shared_from_this<connection> {
public:
    struct end {
        std::function<void(std::span<const std::byte>)> received;
        std::function<void()> lost;     // once; nothing follows it
        std::function<void()> written;  // everything sent so far has arrived
    };

    connection(event_queue& events, random_source& random, const network_weather& weather);

    /// Each side says where its events go. An end that was detached hears nothing more.
    void attach(side s, end handlers) { ends_[index(s)] = std::move(handlers); }
    void detach(side s) { ends_[index(s)] = {}; }

    void send(side from, std::vector<std::byte> bytes);

    /// `from` closes in order: the other side reads everything, then hears of it.
    void shut(side from);

    /// The connection is lost now; each side hears of it later.
    void cut();

    /// Nothing of what is sent to `s` from now on arrives before this is over. The other direction goes on.
    void deafen(side s, std::chrono::microseconds lasts) { busy_until_[index(s)] = std::max(busy_until_[index(s)], events_.now()) + lasts; }
    /// One of its sides hears nothing for a while, or reads slowly for ever.
    bool is_ill() const { return read_at_once_ != everything || std::max(busy_until_[0], busy_until_[1]) > events_.now() + std::chrono::seconds(2); }

    bool is_cut() const { return cut_; }
    /// When `s` was last sent something while nothing was on its way, or took some of it.
    timestamp took_at(side s) const { return took_at_[index(s)]; }

private:
    static std::size_t index(side s) { return static_cast<std::size_t>(s); }
    void arrive(side at, const std::vector<std::byte>& bytes, bool last);
    void read(side at);
    void tell_lost(side s, std::chrono::microseconds wait);

    event_queue& events_;
    random_source& random_;
    const network_weather& weather_;
    std::array<end, 2> ends_;
    std::array<std::vector<std::byte>, 2> unread_;  // by receiving side
    std::array<timestamp, 2> busy_until_{};         // too
    std::array<timestamp, 2> took_at_{};            // too
    static constexpr std::size_t everything = ~std::size_t{0};
    std::size_t read_at_once_ = everything;  // by the client
    bool cut_ = false;
};

}  // namespace millrace::sim
