// What a side needs to wait on the sockets of several connections at once.
#pragma once

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <poll.h>

#include "bench/load.hpp"

namespace millrace::bench {

struct host_and_port {
    std::string host;
    std::uint16_t port;
};

/// Of "HOST:PORT". Throws.
host_and_port parse_server(const std::string& server);

/// Waits until any of `sockets` is ready for its `events`, which `revents` tells, or until `until`. Throws.
void wait_ready(std::vector<pollfd>& sockets, steady::time_point until);

/// Sends what `connections` hold back, waits, and hands over each answer, until `is_enough` or it is `until`. A connection never waits: it has flush(), fill(),
/// take(answer&) and wanted(), which says what it is to be waited for.
template <class Connection, class OnAnswer, class IsEnough>
void exchange(const std::vector<std::unique_ptr<Connection>>& connections, steady::time_point until, OnAnswer on_answer, IsEnough is_enough) {
    std::vector<pollfd> sockets(connections.size());
    do {
        for (std::size_t i = 0; i < connections.size(); ++i) {
            connections[i]->flush();
            sockets[i] = connections[i]->wanted();
        }
        wait_ready(sockets, until);
        for (std::size_t i = 0; i < connections.size(); ++i) {
            if ((sockets[i].revents & ~POLLOUT) == 0) continue;
            connections[i]->fill();
            for (typename Connection::answer a; connections[i]->take(a);) on_answer(*connections[i], a);
        }
    } while (!is_enough() && steady::now() < until);
}

/// exchange() until no connection waits for an answer: it has is_settled(). Throws when one does for 30 s.
template <class Connection, class OnAnswer>
void settle(const std::vector<std::unique_ptr<Connection>>& connections, OnAnswer on_answer) {
    const auto are_settled = [&] { return std::all_of(connections.begin(), connections.end(), [](const auto& c) { return c->is_settled(); }); };
    if (!are_settled()) exchange(connections, steady::now() + silence_max, on_answer, are_settled);
    if (!are_settled()) throw std::runtime_error("acks: no answer for 30 s");
}

}  // namespace millrace::bench
