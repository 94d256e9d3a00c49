// Reads a file, a pipe or a terminal without stopping what runs beside it: answers keep coming while a pipe is silent.
#pragma once

#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace millrace::cli {

class input {
public:
    /// "-" is stdin. Throws a failure when it cannot be opened.
    input(boost::asio::any_io_executor executor, const std::string& path);
    ~input();
    input(const input&) = delete;
    input& operator=(const input&) = delete;

    /// Appends some bytes to `out`; false at the end, and after stop().
    boost::asio::awaitable<bool> read_some(std::string& out);

    /// Ends the read under way.
    void stop();

private:
    std::string path_;
    int file_ = -1;  // a regular file, which always has something to read, and which epoll does not take
    boost::asio::posix::stream_descriptor stream_;
    bool stopped_ = false;
};

}  // namespace millrace::cli
