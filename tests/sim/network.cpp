#include "tests/sim/network.hpp"

#include <algorithm>
#include <utility>

namespace millrace::sim {

using namespace std::chrono_literals;

namespace {

constexpr auto between_reads = 1ms;  // of a slow client

}  // namespace

connection::connection(event_queue& events, random_source& random, const network_weather& weather) : events_(events), random_(random), weather_(weather) {
    if (random_.chance(weather_.slow_in_1000)) read_at_once_ = std::size_t{8} << random_.below(7);
}

void connection::send(side from, std::vector<std::byte> bytes) {
    if (cut_ || bytes.empty()) return;
    const auto to = other(from);
    took_at_[index(to)] = events_.now();
    auto& busy = busy_until_[index(to)];
    busy = std::max(busy, events_.now() + random_.between(weather_.delay_min, weather_.delay_max));
    if (random_.chance(weather_.stall_in_1000)) busy += random_.between(50ms, 3s);
    // Sometimes byte by byte at first: prefixes and heads of frames are cut too.
    auto tiny = random_.chance(30) ? random_.below(40) : 0;
    for (std::size_t at = 0; at < bytes.size();) {
        auto size = bytes.size() - at;
        if (tiny > 0) {
            size = 1;
            --tiny;
        } else if (random_.chance(300)) {
            size = 1 + random_.below(size);
        }
        if (to == side::client && size > read_at_once_) {
            size = read_at_once_;
            busy += between_reads;
        }
        const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        std::vector<std::byte> piece(begin, begin + static_cast<std::ptrdiff_t>(size));
        at += size;
        busy += std::chrono::microseconds{random_.below(20)};
        events_.at(busy, [self = shared_from_this(), to, piece = std::move(piece), last = at == bytes.size()] { self->arrive(to, piece, last); });
    }
}

void connection::arrive(side at, const std::vector<std::byte>& bytes, bool last) {
    if (cut_) return;
    took_at_[index(at)] = events_.now();
    auto& unread = unread_[index(at)];
    unread.insert(unread.end(), bytes.begin(), bytes.end());
    if (random_.chance(weather_.late_in_1000))
        events_.after(random_.between(0ms, 500ms), [self = shared_from_this(), at] { self->read(at); });
    else
        read(at);
    if (!last || cut_) return;
    if (const auto handler = ends_[index(other(at))].written) handler();
}

void connection::read(side at) {
    const auto bytes = std::exchange(unread_[index(at)], {});
    if (cut_ || bytes.empty()) return;
    if (const auto handler = ends_[index(at)].received) handler(bytes);
}

void connection::shut(side from) {
    detach(from);
    if (cut_) return;
    const auto to = other(from);
    const auto when = std::max(busy_until_[index(to)], events_.now()) + random_.between(weather_.delay_min, weather_.delay_max);
    events_.at(when, [self = shared_from_this(), to] { self->tell_lost(to, 0us); });
}

void connection::cut() {
    if (cut_) return;
    cut_ = true;
    for (const auto s : {side::client, side::broker})
        tell_lost(s, random_.chance(weather_.half_open_in_1000) ? random_.between(1s, 40s) : random_.between(0ms, 300ms));
}

void connection::tell_lost(side s, std::chrono::microseconds wait) {
    events_.after(wait, [self = shared_from_this(), s] {
        self->read(s);
        self->cut_ = true;
        const auto handler = std::exchange(self->ends_[index(s)], {}).lost;
        if (handler) handler();
    });
}

}  // namespace millrace::sim
