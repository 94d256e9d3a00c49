// Stands between a client and a broker, and cuts every connection when told to, while the broker lives on.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace millrace {

class cutting_proxy {
    using tcp = boost::asio::ip::tcp;
    using shared_socket = std::shared_ptr<tcp::socket>;

public:
    explicit cutting_proxy(std::uint16_t upstream) : upstream_(boost::asio::ip::address_v4::loopback(), upstream) {
        boost::asio::co_spawn(io_, accept(), boost::asio::detached);
        thread_ = std::thread([this] { io_.run(); });
    }
    ~cutting_proxy() {
        io_.stop();
        thread_.join();
    }

    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

    void cut() {
        boost::asio::post(io_, [this] {
            boost::system::error_code ignored;
            for (const auto& socket : sockets_) socket->close(ignored);
            sockets_.clear();
        });
    }

    /// Cuts, and lets nobody through until it is opened again.
    void shut() {
        shut_ = true;
        cut();
    }
    void open() { shut_ = false; }

    /// The client's side of every connection is gone, and the broker hears nothing of it.
    void cut_half() {
        boost::asio::post(io_, [this] {
            boost::system::error_code ignored;
            for (std::size_t i = 0; i + 1 < sockets_.size(); i += 2) {
                forgotten_.push_back(sockets_[i + 1]);
                sockets_[i]->close(ignored);
            }
            sockets_.clear();
        });
    }

private:
    static constexpr auto as_result = boost::asio::as_tuple(boost::asio::use_awaitable);

    boost::asio::awaitable<void> accept() {
        for (;;) {
            auto [refused, accepted] = co_await acceptor_.async_accept(as_result);
            if (refused) co_return;
            if (shut_) continue;
            const auto near = std::make_shared<tcp::socket>(std::move(accepted)), far = std::make_shared<tcp::socket>(io_);
            const auto [failed] = co_await far->async_connect(upstream_, as_result);
            if (failed) continue;
            sockets_.insert(sockets_.end(), {near, far});
            boost::asio::co_spawn(io_, pump(near, far), boost::asio::detached);
            boost::asio::co_spawn(io_, pump(far, near), boost::asio::detached);
        }
    }

    boost::asio::awaitable<void> pump(shared_socket from, shared_socket to) {
        std::vector<char> buffer(64 << 10);
        for (;;) {
            const auto [ended, n] = co_await from->async_read_some(boost::asio::buffer(buffer), as_result);
            if (ended) break;
            const auto [failed, written] = co_await boost::asio::async_write(*to, boost::asio::buffer(buffer.data(), n), as_result);
            if (failed) break;
        }
        boost::system::error_code ignored;
        from->close(ignored);
        if (!is_forgotten(to)) to->close(ignored);
    }

    bool is_forgotten(const shared_socket& socket) const { return std::find(forgotten_.begin(), forgotten_.end(), socket) != forgotten_.end(); }

    boost::asio::io_context io_{1};
    tcp::endpoint upstream_;
    tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
    std::uint16_t port_ = acceptor_.local_endpoint().port();
    std::vector<shared_socket> sockets_;    // the client's, the broker's, and so on
    std::vector<shared_socket> forgotten_;  // open towards the broker, and nobody behind them
    std::atomic<bool> shut_{false};
    std::thread thread_;
};

}  // namespace millrace
