// Stands between a client and a broker, and cuts every connection when told to, while the broker lives on.
#pragma once

#include <array>
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

private:
    static constexpr auto as_result = boost::asio::as_tuple(boost::asio::use_awaitable);

    boost::asio::awaitable<void> accept() {
        for (;;) {
            auto [refused, accepted] = co_await acceptor_.async_accept(as_result);
            if (refused) co_return;
            const auto near = std::make_shared<tcp::socket>(std::move(accepted)), far = std::make_shared<tcp::socket>(io_);
            const auto [failed] = co_await far->async_connect(upstream_, as_result);
            if (failed) continue;
            sockets_.insert(sockets_.end(), {near, far});
            boost::asio::co_spawn(io_, pump(near, far), boost::asio::detached);
            boost::asio::co_spawn(io_, pump(far, near), boost::asio::detached);
        }
    }

    static boost::asio::awaitable<void> pump(shared_socket from, shared_socket to) {
        std::vector<char> buffer(64 << 10);
        for (;;) {
            const auto [ended, n] = co_await from->async_read_some(boost::asio::buffer(buffer), as_result);
            if (ended) break;
            const auto [failed, written] = co_await boost::asio::async_write(*to, boost::asio::buffer(buffer.data(), n), as_result);
            if (failed) break;
        }
        boost::system::error_code ignored;
        from->close(ignored);
        to->close(ignored);
    }

    boost::asio::io_context io_{1};
    tcp::endpoint upstream_;
    tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
    std::uint16_t port_ = acceptor_.local_endpoint().port();
    std::vector<shared_socket> sockets_;
    std::thread thread_;
};

}  // namespace millrace
