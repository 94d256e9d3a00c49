// A server of ours that programs ask by HTTP/1.1: an object store, or an edge.
//
// Connections are kept and used again. Who does not answer is not asked for a moment, and then by one at a time until an answer has come: otherwise everybody
// would wait for a host that is gone.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/http/verb.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace photo_stack {

/// No answer, or none in time.
struct peer_unavailable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct peer_answer {
    unsigned status = 0;
    std::string body;
};

/// Thread-safe, and waits.
class http_peer {
public:
    /// `address`: "http://ADDRESS:PORT". Throws std::invalid_argument for anything else. `deadline`: of connecting and an answer together.
    http_peer(const std::string& address, std::chrono::milliseconds deadline);
    ~http_peer();

    /// Whatever the answer is. Throws peer_unavailable. REQUIRES: doing the same again does no harm, for it may be sent twice.
    peer_answer ask(boost::beast::http::verb method, const std::string& target, std::string_view body = {});

    const std::string& address() const noexcept { return address_; }

private:
    class connection;
    using clock = std::chrono::steady_clock;

    peer_answer ask_now(boost::beast::http::verb method, const std::string& target, std::string_view body);
    bool may_ask();
    void note(bool answered);
    std::unique_ptr<connection> idle_one();
    void give_back(std::unique_ptr<connection> c);

    std::string address_;
    boost::asio::ip::tcp::endpoint where_;
    std::chrono::milliseconds deadline_;

    std::mutex mutex_;
    std::vector<std::unique_ptr<connection>> idle_;
    int failures_ = 0;  // since it has answered last
    clock::time_point not_before_{};
};

}  // namespace photo_stack
