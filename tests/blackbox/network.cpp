#include "tests/blackbox/network.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace millrace::blackbox {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

ifreq request_for(const char* device) {
    ifreq r{};
    std::strncpy(r.ifr_name, device, IFNAMSIZ - 1);
    return r;
}

void ask(int socket, unsigned long what, ifreq& r, const char* doing) {
    if (::ioctl(socket, what, &r) != 0) fail(doing);
}

void set_address(int socket, unsigned long what, const char* device, const std::string& address) {
    auto r = request_for(device);
    sockaddr_in in{};
    in.sin_family = AF_INET;
    ::inet_pton(AF_INET, address.c_str(), &in.sin_addr);
    std::memcpy(&r.ifr_addr, &in, sizeof in);
    ask(socket, what, r, "giving a tunnel its address");
}

void bring_up(int socket, const char* device) {
    auto r = request_for(device);
    ask(socket, SIOCGIFFLAGS, r, "reading an interface");
    r.ifr_flags = static_cast<short>(r.ifr_flags | IFF_UP | IFF_RUNNING);
    ask(socket, SIOCSIFFLAGS, r, "bringing up an interface");
}

/// The other end of the only interface, besides its own loopback, of the namespace that this thread enters.
int enter_namespace(const std::string& address) {
    if (::unshare(CLONE_NEWNET) != 0) fail("a network namespace needs root");
    const int tunnel = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tunnel < 0) fail("/dev/net/tun");
    auto r = request_for("wire");
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    ask(tunnel, TUNSETIFF, r, "making a tunnel");
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    set_address(socket, SIOCSIFADDR, "wire", address);
    set_address(socket, SIOCSIFNETMASK, "wire", "255.255.255.0");
    bring_up(socket, "wire");
    bring_up(socket, "lo");
    ::close(socket);
    return tunnel;
}

constexpr std::size_t ip_header_bytes = 20;

bool is_ipv4(const char* bytes, std::size_t count) { return count >= ip_header_bytes && (static_cast<unsigned char>(bytes[0]) >> 4) == 4; }

host_number receiver_of(const char* bytes) { return static_cast<unsigned char>(bytes[19]); }

}  // namespace

// ---- the switch ----------------------------------------------------------------------------------------------------------------

network::network(std::uint64_t seed) : random_(seed) { loop_.start(); }

network::~network() { loop_.stop(); }

void network::plug_in(host_number number, int tunnel) {
    loop_.run([&] {
        ports_.try_emplace(number, loop_.io(), tunnel);
        listen(number);
    });
}

void network::set(host_number from, host_number to, const weather& w) {
    loop_.run([&] { weather_[{from, to}] = w; });
}

void network::listen(host_number from) {
    auto& device = ports_.at(from).device;
    device.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this, from, &device](const boost::system::error_code& ec) {
        if (ec) return;
        char bytes[65536];
        for (int turn = 0; turn < 64; ++turn) {
            const auto n = ::read(device.native_handle(), bytes, sizeof bytes);
            if (n <= 0) break;
            pass(from, bytes, static_cast<std::size_t>(n));
        }
        listen(from);
    });
}

void network::pass(host_number from, const char* bytes, std::size_t count) {
    if (!is_ipv4(bytes, count)) return;
    const auto to = receiver_of(bytes);
    if (!ports_.contains(to)) return;
    const auto& w = weather_[{from, to}];
    const auto strikes = [&](unsigned permille) { return permille > 0 && random_.chance(permille); };
    if (w.cut || strikes(w.lost_permille)) {
        ++counts_.dropped;
        return;
    }
    ++counts_.passed;
    const auto copies = strikes(w.doubled_permille) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
        if (w.delay.count() == 0 && w.jitter.count() == 0) {
            send(to, bytes, count);
            continue;
        }
        const auto extra = random_.between(std::chrono::microseconds{0}, w.jitter);
        send_later(clock::now() + w.delay + extra, to, packet(bytes, bytes + count));
    }
}

void network::send(host_number to, const char* bytes, std::size_t count) {
    // A host that takes nothing more loses it, as on a wire.
    if (::write(ports_.at(to).device.native_handle(), bytes, count) < 0) ++counts_.dropped;
}

void network::send_later(clock::time_point when, host_number to, packet p) {
    const auto it = later_.emplace(when, std::pair(to, std::move(p)));
    if (it == later_.begin()) wait();
}

void network::wait() {
    if (later_.empty()) return;
    due_.expires_at(later_.begin()->first);
    due_.async_wait([this](const boost::system::error_code& ec) {
        if (ec) return;
        const auto now = clock::now();
        while (!later_.empty() && later_.begin()->first <= now) {
            const auto& [to, p] = later_.begin()->second;
            send(to, p.data(), p.size());
            later_.erase(later_.begin());
        }
        wait();
    });
}

// ---- a host --------------------------------------------------------------------------------------------------------------------

host::host(network& to, host_number number) : number_(number) {
    loop_.start();
    to.plug_in(number, loop_.run([this] { return enter_namespace(address()); }));
}

host::~host() { loop_.stop(); }

void host::freeze() {
    thawed_ = {};
    boost::asio::post(io(), [until = thawed_.get_future().share()] { until.wait(); });
}

void host::thaw() { thawed_.set_value(); }

}  // namespace millrace::blackbox
