#include "tests/admin/http_client.hpp"

#include <poll.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cctype>
#include <stdexcept>

namespace millrace {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr int patience_ms = 60'000;

tcp::endpoint endpoint_of(const std::string& server) {
    const auto colon = server.rfind(':');
    return {asio::ip::make_address(server.substr(0, colon)), static_cast<unsigned short>(std::stoul(server.substr(colon + 1)))};
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

/// Status line and headers, each line without its end. Throws on anything that is not `NAME: VALUE`.
http_answer parse_head(const std::string& head) {
    http_answer answer;
    if (!head.starts_with("HTTP/1.")) throw std::runtime_error("no status line: " + head);
    answer.status = std::stoi(head.substr(9, 3));
    for (auto at = head.find("\r\n"); at != std::string::npos && at + 2 < head.size();) {
        const auto end = head.find("\r\n", at + 2);
        const auto line = head.substr(at + 2, end - at - 2);
        const auto colon = line.find(": ");
        if (colon == std::string::npos) throw std::runtime_error("no header: " + line);
        answer.headers[lower(line.substr(0, colon))] = line.substr(colon + 2);
        at = end;
    }
    return answer;
}

}  // namespace

http_client::http_client(const tcp::endpoint& server) { socket_.connect(server); }
http_client::http_client(const std::string& server) : http_client(endpoint_of(server)) {}

bool http_client::send(const std::string& bytes) {
    boost::system::error_code failed;
    asio::write(socket_, asio::buffer(bytes), failed);
    return !failed;
}

bool http_client::read_more() {
    pollfd waited{socket_.native_handle(), POLLIN, 0};
    if (::poll(&waited, 1, patience_ms) <= 0) throw std::runtime_error("nothing comes; so far: " + received_);
    char bytes[65536];
    boost::system::error_code ended;
    const auto n = socket_.read_some(asio::buffer(bytes), ended);
    received_.append(bytes, n);
    return !ended;
}

std::optional<http_answer> http_client::read(bool has_body) {
    auto end = received_.find("\r\n\r\n");
    while (end == std::string::npos) {
        if (!read_more()) {
            if (!received_.empty()) throw std::runtime_error("half an answer: " + received_);
            return std::nullopt;
        }
        end = received_.find("\r\n\r\n");
    }
    auto answer = parse_head(received_.substr(0, end + 2));
    const auto length = has_body ? std::stoul(answer.headers.at("content-length")) : 0;
    while (received_.size() < end + 4 + length)
        if (!read_more()) throw std::runtime_error("half an answer: " + received_.substr(0, 1000));
    answer.body = received_.substr(end + 4, length);
    received_.erase(0, end + 4 + length);
    return answer;
}

bool http_client::is_closed() {
    while (received_.empty())
        if (!read_more()) return true;
    return false;
}

http_answer http_client::get(const std::string& target, const std::string& more_headers, const std::string& method) {
    if (!send(method + " " + target + " HTTP/1.1\r\nHost: millrace\r\n" + more_headers + "\r\n")) throw std::runtime_error("closed before " + target);
    auto answer = read(method != "HEAD");
    if (!answer) throw std::runtime_error("no answer to " + target);
    return *answer;
}

}  // namespace millrace
