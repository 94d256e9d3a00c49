// How both ends of a connection set their TCP socket up. Names no socket library: whoever has a socket of Asio's kind passes it.
//
// No Nagle: what is sent is a batch or an answer, and somebody waits for it.
//
// Between two programs on one machine what is sent is copied into the kernel and out of it again, and nothing else happens to it: small buffers leave it in the
// processor's cache between the two. 96 KiB at a time over loopback: 0.45 µs a KiB with the kernel's own sizes, which grow to megabytes, 0.30 with
// these. Over a network the kernel's sizes stay, for they follow bandwidth and delay.
#pragma once

#include <boost/system/error_code.hpp>

namespace millrace::proto {

inline constexpr int local_send_buffer = 256 << 10;
inline constexpr int local_receive_buffer = 1 << 20;

/// A socket that refuses is slower, or on its way out and says so at the next read.
template <class Socket>
void set_up(Socket& socket) {
    boost::system::error_code ignored;
    socket.set_option(typename Socket::protocol_type::no_delay(true), ignored);
    boost::system::error_code unknown;
    const auto there = socket.remote_endpoint(unknown);
    if (unknown || there.address() != socket.local_endpoint(unknown).address() || unknown) return;
    socket.set_option(typename Socket::send_buffer_size(local_send_buffer), ignored);
    socket.set_option(typename Socket::receive_buffer_size(local_receive_buffer), ignored);
}

}  // namespace millrace::proto
