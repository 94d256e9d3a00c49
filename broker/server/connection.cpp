#include "broker/server/connection.hpp"

#include <boost/asio/write.hpp>

namespace millrace::server {

namespace asio = boost::asio;
using asio::ip::tcp;

connection::connection(tcp::socket socket, core::session_id id, const session_settings& settings, timestamp now)
    : socket_(std::move(socket)), session_(id, settings, now), now_(now), last_write_(now) {
    boost::system::error_code ignored;  // a socket that refuses these is on its way out and says so at the next read
    socket_.set_option(tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);
}

void connection::write() {
    if (writing_ || !socket_.is_open()) return;
    if (!session_.has_output()) {
        if (session_.closing()) abort();
        return;
    }
    writing_output_ = session_.take_output();
    buffers_.clear();
    for (const auto& p : writing_output_.pieces) {
        if (p.slice.empty())
            buffers_.emplace_back(writing_output_.buffer.data() + p.offset, p.size);
        else
            buffers_.emplace_back(p.slice.data(), p.slice.size());
    }
    writing_ = true;
    last_write_ = now_;
    asio::async_write(socket_, buffers_, [self = shared_from_this()](const boost::system::error_code& ec, std::size_t) { self->written(ec); });
}

void connection::written(const boost::system::error_code& ec) {
    writing_ = false;
    writing_output_ = {};
    if (ec) return abort();
    write();
}

void connection::abort() {
    boost::system::error_code ignored;  // it is gone either way
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
}

}  // namespace millrace::server
