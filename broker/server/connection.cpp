#include "broker/server/connection.hpp"

#include <boost/asio/write.hpp>

#include "broker/endpoint.hpp"
#include "proto/tcp_settings.hpp"

namespace millrace::server {

namespace asio = boost::asio;
using asio::ip::tcp;

connection::connection(tcp::socket socket, core::session_id id, const session_settings& settings, timestamp now)
    : socket_(std::move(socket)), session_(id, settings, now), opened_at_(now), now_(now), last_write_(now) {
    proto::set_up(socket_);
    boost::system::error_code ignored;  // a socket that refuses is on its way out and says so at the next read
    socket_.non_blocking(true, ignored);
    peer_ = text_of(socket_.remote_endpoint(ignored));
}

void connection::write() {
    while (!writing_ && socket_.is_open() && session_.has_output()) write_some();
    if (!writing_ && socket_.is_open() && session_.closing()) abort();
}

/// Mostly the socket takes all of it at once, and no operation has to be set up.
void connection::write_some() {
    writing_output_ = session_.take_output();
    buffers_.clear();
    for (const auto& p : writing_output_.pieces) {
        if (p.slice.empty())
            buffers_.emplace_back(writing_output_.buffer.data() + p.offset, p.size);
        else
            buffers_.emplace_back(p.slice.data(), p.slice.size());
    }
    last_write_ = now_;
    boost::system::error_code ec;
    auto taken = socket_.write_some(buffers_, ec);
    if (ec && ec != asio::error::would_block) return abort();
    auto rest = buffers_.begin();
    for (; rest != buffers_.end() && taken >= rest->size(); ++rest) taken -= rest->size();
    if (rest == buffers_.end()) {
        writing_output_ = {};
        return;
    }
    *rest += taken;
    buffers_.erase(buffers_.begin(), rest);
    writing_ = true;
    asio::async_write(socket_, buffers_, [self = shared_from_this()](const boost::system::error_code& failed, std::size_t) { self->written(failed); });
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
