// A client that comes back when its connection is lost, and its one consumer.
#pragma once

#include "tests/client/scripted_broker.hpp"

namespace millrace::client {

using ranges = std::vector<lease_range>;

inline constexpr consumer_number first{1};

inline machine_settings returning(bool resends = true) {
    machine_settings s;
    s.reconnects = true;
    s.resends = resends;
    return s;
}

inline ranges acked_by(const sent_frame& f) {
    ranges out;
    for (const auto* r : *f.head().message_as_Ack()->ranges()) out.push_back({r->partition(), r->attempt(), {r->first()}, {r->last()}});
    return out;
}

/// What the settlement asked for as `operation` says did not take effect.
inline std::vector<lost_range> lost_of(const scripted_broker& broker, std::uint64_t operation) {
    return std::get<settlement>(broker.only(operation).content).lost;
}

inline void open_consumer(scripted_broker& broker, std::uint32_t credit = 8) {
    broker.greet();
    broker.m.subscribe(ticket{1}, "photos", "resize", {.credit_messages = credit, .name = "worker"});
    broker.turn();
    broker.subscribed();
}

inline std::vector<message> some(std::size_t count) { return std::vector<message>(count, message{"", {}, "x"}); }

}  // namespace millrace::client
