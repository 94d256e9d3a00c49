// What the machine's sockets do by themselves, measured in the same minute as a broker behind them: many connections, each with one request on its
// way, and nothing done with it. No broker on the same cores answers more.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace millrace::bench {

/// Round trips a second over `connections` of the loopback: `request_bytes` there, 32 back; one thread on each side, epoll and no more calls than it
/// takes. Throws std::runtime_error.
double probe_sockets(std::uint32_t connections, std::size_t request_bytes, std::chrono::milliseconds time);

}  // namespace millrace::bench
