#include "examples/photo_stack/wan_link/tunnel.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace photo_wan {
namespace {

int checked(int result, const std::string& doing) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), doing);
    return result;
}

/// A tunnel is of the namespace in which /dev/net/tun was opened, wherever its reader goes then.
void enter(const std::string& network_namespace) {
    const auto path = "/var/run/netns/" + network_namespace;
    const int there = checked(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path);
    const int entered = ::setns(there, CLONE_NEWNET);
    ::close(there);
    checked(entered, "entering the network namespace " + network_namespace);
}

}  // namespace

int open_tunnel(const std::string& network_namespace, const std::string& device) {
    enter(network_namespace);
    const int tunnel = checked(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), "/dev/net/tun");
    ifreq which{};
    std::strncpy(which.ifr_name, device.c_str(), IFNAMSIZ - 1);
    which.ifr_flags = IFF_TUN | IFF_NO_PI;
    checked(::ioctl(tunnel, TUNSETIFF, &which), "the tunnel device " + device + " in " + network_namespace);
    return tunnel;
}

}  // namespace photo_wan
