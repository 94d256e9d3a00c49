#include "bench/peers/sockets.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace millrace::bench {

host_and_port parse_server(const std::string& server) {
    const auto colon = server.rfind(':');
    std::uint16_t port = 0;
    if (colon != std::string::npos) std::from_chars(server.data() + colon + 1, server.data() + server.size(), port);
    if (port == 0) throw std::runtime_error("'" + server + "' is not HOST:PORT");
    return {server.substr(0, colon), port};
}

void wait_ready(std::vector<pollfd>& sockets, steady::time_point until) {
    const auto left = std::max(until - steady::now(), steady::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec timeout{seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
    if (::ppoll(sockets.data(), sockets.size(), &timeout, nullptr) < 0 && errno != EINTR)
        throw std::system_error(errno, std::generic_category(), "ppoll");
}

}  // namespace millrace::bench
