// A bare HTTP peer: bytes out, answers in, as picky about them as a proxy. It can also be slow, silent and wrong.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>

namespace millrace {

struct http_answer {
    int status = 0;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
};

class http_client {
public:
    explicit http_client(const boost::asio::ip::tcp::endpoint& server);

    /// HOST:PORT with a numeric host.
    explicit http_client(const std::string& server);

    /// False when the connection is closed.
    bool send(const std::string& bytes);

    /// The next answer; nullopt when the connection ends instead. Throws when nothing comes, or what comes is no answer.
    /// `has_body` is false for the answer to a HEAD, whose Content-Length announces what is not sent.
    std::optional<http_answer> read(bool has_body = true);

    /// Whether the peer closes the connection without another byte. Waits for it.
    bool is_closed();

    /// A whole request, with keep-alive, and its answer. Throws when the connection ends.
    http_answer get(const std::string& target, const std::string& more_headers = {}, const std::string& method = "GET");

private:
    bool read_more();

    boost::asio::io_context io_;
    boost::asio::ip::tcp::socket socket_{io_};
    std::string received_;
};

}  // namespace millrace
