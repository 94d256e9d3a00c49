// photo-wan-link: a line between two networks that are far from each other. Linux could delay packets by itself (netem), where its kernel has that.
//
//   namespace A: tunnel device ──► line ──► tunnel device: namespace B
//                             ◄── line ◄──
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <iostream>
#include <random>
#include <string>

#include "examples/photo_stack/wan_link/line.hpp"
#include "examples/photo_stack/wan_link/tunnel.hpp"
#include "millrace/units.hpp"

namespace {

using namespace photo_wan;
namespace asio = boost::asio;
using tunnel_device = asio::posix::stream_descriptor;

constexpr std::size_t packet_bytes_max = 65'536;
constexpr int packets_a_turn = 64;

/// Carries what is read from one device to the other one. One thread; both devices outlive it.
class carrier {
public:
    carrier(asio::io_context& io, tunnel_device& from, tunnel_device& to, line way) : from_(from), to_(to), due_(io), way_(std::move(way)) { listen(); }

private:
    void listen() {
        from_.async_wait(tunnel_device::wait_read, [this](const boost::system::error_code& ec) {
            if (ec) return;
            take_in();
            listen();
        });
    }

    void take_in() {
        const bool was_idle = !way_.next();
        for (int turn = 0; turn < packets_a_turn; ++turn) {
            const auto count = ::read(from_.native_handle(), bytes_.data(), bytes_.size());
            if (count <= 0) break;
            way_.enter(line::clock::now(), packet(bytes_.data(), bytes_.data() + count));
        }
        if (was_idle) wait();
    }

    void wait() {
        const auto next = way_.next();
        if (!next) return;
        due_.expires_at(*next);
        due_.async_wait([this](const boost::system::error_code& ec) {
            if (ec) return;
            hand_out();
            wait();
        });
    }

    void hand_out() {
        while (const auto p = way_.leave(line::clock::now()))
            if (::write(to_.native_handle(), p->data(), p->size()) < 0) continue;  // a network that takes nothing more loses it
    }

    tunnel_device& from_;
    tunnel_device& to_;
    asio::steady_timer due_;
    line way_;
    std::array<char, packet_bytes_max> bytes_;
};

tunnel_device device_at(asio::io_context& io, const std::string& end) {
    const auto colon = end.find(':');
    if (colon == std::string::npos) throw std::invalid_argument("'" + end + "' is not NAMESPACE:DEVICE");
    return tunnel_device(io, open_tunnel(end.substr(0, colon), end.substr(colon + 1)));
}

void run(const std::string& one_end, const std::string& other_end, const line_settings& settings) {
    asio::io_context io(1);
    auto one = device_at(io, one_end);
    auto other = device_at(io, other_end);
    std::random_device seeds;
    carrier there(io, one, other, line(settings, seeds()));
    carrier back(io, other, one, line(settings, seeds()));
    asio::signal_set ending(io, SIGTERM, SIGINT);
    ending.async_wait([&io](const boost::system::error_code&, int) { io.stop(); });
    io.run();
}

std::chrono::milliseconds duration_from(const std::string& text) {
    const auto parsed = millrace::parse_duration(text);
    if (!parsed) throw CLI::ValidationError(parsed.failure().what);
    return parsed.value();
}

}  // namespace

int main(int argc, char** argv) {
    std::array<std::string, 2> ends;
    line_settings settings;
    CLI::App app("A line between two network namespaces that takes its time", "photo-wan-link");
    app.add_option("ends", ends, "NAMESPACE:DEVICE of both, tunnel devices that are there already")->required();
    app.add_option_function<std::string>("--delay", [&](const std::string& text) { settings.delay = duration_from(text); }, "one way");
    app.add_option_function<std::string>("--jitter", [&](const std::string& text) { settings.jitter = duration_from(text); }, "on top of it, up to so much");
    app.add_option("--lost-permille", settings.lost_permille, "of the packets")->check(CLI::Range(0, 1000));
    CLI11_PARSE(app, argc, argv);
    try {
        run(ends[0], ends[1], settings);
    } catch (const std::exception& why) {
        std::cerr << "photo-wan-link: " << why.what() << "\n";
        return 1;
    }
    return 0;
}
