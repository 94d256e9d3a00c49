// HTTP/1.1: connections, their limits and deadlines; what is answered is the site's business.
//
// Whoever is slow, silent or wrong costs one connection until its deadline. A body is read once the site has admitted its head, and all bodies together
// have a budget. SIGTERM's drain: nothing new is taken, requests in work are answered, idle connections are closed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "examples/photo_stack/web/request_log.hpp"
#include "examples/photo_stack/web/site.hpp"

namespace photo_web {

struct http_settings {
    std::vector<std::string> image_sources{};  // where pages may load images from, beside this server
    std::size_t connections_max = 2'000;
    std::size_t header_bytes_max = 8u << 10;
    std::size_t bodies_bytes_max = 512u << 20;         // of all requests that are in memory
    std::chrono::milliseconds idle_timeout{60'000};    // between requests
    std::chrono::milliseconds header_timeout{10'000};  // from a request's first byte to the end of its head
    std::chrono::milliseconds body_timeout{60'000};
    std::chrono::milliseconds answer_timeout{60'000};  // until the peer has taken all of it
    std::chrono::milliseconds events_heartbeat{5'000};
    std::chrono::milliseconds events_max{15'000};  // that a stream of events lasts; its browser asks again, and is told what it has missed
};

/// One thread: that of `io`.
class http_server {
public:
    /// `pages` and `log` outlive the server.
    http_server(boost::asio::io_context& io, site& pages, request_log& log, http_settings settings);

    /// Binds and begins to accept. Throws boost::system::system_error.
    void listen(const boost::asio::ip::tcp::endpoint& where);

    /// Accepts no more; each connection ends after the request that it is in, if any.
    void drain();

    std::size_t connections() const { return connections_.size(); }

private:
    struct connection;
    using connection_pointer = std::shared_ptr<connection>;

    boost::asio::awaitable<void> accept_loop();
    boost::asio::awaitable<void> serve(connection_pointer c);
    boost::asio::awaitable<bool> serve_one(connection& c);
    boost::asio::awaitable<bool> take_body(connection& c, visit& v);
    boost::asio::awaitable<bool> send(connection& c, const visit& v, response answer, bool keep);
    boost::asio::awaitable<void> send_events(connection& c, const visit& v, response answer);
    boost::asio::awaitable<bool> send_text(connection& c, const visit& v, unsigned status, const char* text);
    boost::asio::awaitable<void> part(connection& c);

    boost::asio::io_context& io_;
    site& site_;
    request_log& log_;
    http_settings settings_;
    const std::string content_policy_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::size_t bodies_bytes_ = 0;
    bool draining_ = false;
    std::set<connection_pointer> connections_;
};

}  // namespace photo_web
