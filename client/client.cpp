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

void connection::on_return(std::function<void(const broker_description&)> notify) { core_->on_return(std::move(notify)); }

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

std::chrono::milliseconds consumer::visibility_timeout() const noexcept { return state_->visibility_timeout; }

void consumer::on_leases_lost(std::function<void(const std::vector<lost_range>&)> notify) { state_->on_lost = std::move(notify); }

bool consumer::start(const delivery& d) { return state_->on->ask().start(state_->number, d); }
void consumer::ack(const delivery& d) { state_->on->ask().ack(state_->number, d); }
void consumer::nack(const delivery& d, const std::string& reason) { state_->on->ask().nack(state_->number, d, reason); }
void consumer::reject(const delivery& d, const std::string& reason) { state_->on->ask().reject(state_->number, d, reason); }
void consumer::release(const delivery& d) { state_->on->ask().release(state_->number, d); }
void consumer::set_aside(const delivery& d) { state_->on->ask().set_aside(state_->number, d); }
void consumer::stop() { core_->stop(state_); }

}  // namespace millrace::client
