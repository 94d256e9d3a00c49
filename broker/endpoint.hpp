// Where a broker can be reached, by its sessions and by admin HTTP, and who has come.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <sstream>
#include <string>

#include "millrace/error.hpp"

namespace millrace {

/// As one types it: "127.0.0.1:7070", "[::1]:7070".
inline std::string text_of(const boost::asio::ip::tcp::endpoint& where) {
    std::ostringstream text;
    text << where;
    return text.str();
}

/// Opens `acceptor` at `where`. The place it has then, whose port is the system's choice if `where` has none; or invalid_argument.
inline result<boost::asio::ip::tcp::endpoint> start_listening(boost::asio::ip::tcp::acceptor& acceptor, const boost::asio::ip::tcp::endpoint& where) try {
    acceptor.open(where.protocol());
    acceptor.set_option(boost::asio::socket_base::reuse_address(true));
    acceptor.bind(where);
    acceptor.listen();
    return acceptor.local_endpoint();
} catch (const boost::system::system_error& refused) {
    return error{errc::invalid_argument, "cannot listen on " + text_of(where) + ": " + refused.code().message()};
}

}  // namespace millrace
