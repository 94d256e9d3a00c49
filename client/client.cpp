// What the public objects do themselves: live and end.
#include "millrace/client.hpp"

#include "client/connection_core.hpp"

namespace millrace::client {

// ---- connection ----

connection::connection(boost::asio::any_io_executor executor, connection_settings settings)
    : core_(std::make_shared<connection_core>(std::move(executor), std::move(settings))) {}

connection& connection::operator=(connection&& other) noexcept {
    std::swap(core_, other.core_);
    return *this;
}

connection::~connection() {
    if (core_) core_->abandon();
}

// ---- consumer ----

consumer& consumer::operator=(consumer&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(state_, other.state_);
    std::swap(refusal_, other.refusal_);
    return *this;
}

consumer::~consumer() {
    if (state_ && !state_->closed) core_->drop(state_);
}

void consumer::ack(const delivery& d) {
    state_->on->ask().ack(state_->number, d);
}

void consumer::set_aside(const delivery& d) {
    state_->on->ask().set_aside(state_->number, d);
}

}  // namespace millrace::client
