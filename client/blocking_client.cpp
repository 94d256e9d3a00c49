#include "millrace/blocking_client.hpp"

#include <future>
#include <optional>
#include <system_error>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "millrace/client.hpp"

namespace millrace::client {
namespace {

namespace asio = boost::asio;

[[noreturn]] void raise(const boost::system::error_code& failed, const std::string& refusal) {
    throw std::system_error(static_cast<std::error_code>(failed), refusal);
}

template <class T>
const std::string& refusal_of(const T& result) { return result.refusal; }
const std::string& refusal_of(const consumer& result) { return result.refusal(); }

}  // namespace

/// The thread and what lives on it.
class blocking_core {
public:
    explicit blocking_core(connection_settings settings)
        : connection_(context_.get_executor(), std::move(settings)), thread_([this] { context_.run(); }) {}

    ~blocking_core() {
        ask<done>([&](auto handler) { connection_.async_close(std::move(handler)); });
        work_.reset();
        thread_.join();
    }

    connection& on() noexcept { return connection_; }

    /// Calls `start(handler)` on the thread and waits until the handler is called.
    template <class T, class Start>
    std::pair<boost::system::error_code, T> ask(Start start) {
        // Shared: set_value() may still be in the promise when the caller has its answer and is gone.
        auto promise = std::make_shared<std::promise<std::pair<boost::system::error_code, T>>>();
        auto answer = promise->get_future();
        asio::post(context_, [&start, promise] {
            start([promise](boost::system::error_code failed, T result) { promise->set_value({failed, std::move(result)}); });
        });
        return answer.get();
    }

    template <class T, class Start>
    T checked(Start start) {
        auto [failed, result] = ask<T>(std::move(start));
        if (failed) raise(failed, refusal_of(result));
        return std::move(result);
    }

    /// Calls `what` on the thread and waits for its return.
    template <class What>
    void run(What what) {
        auto promise = std::make_shared<std::promise<void>>();
        auto finished = promise->get_future();
        asio::post(context_, [&what, promise] {
            what();
            promise->set_value();
        });
        finished.get();
    }

    broker_description description;

private:
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(context_);
    connection connection_;
    std::thread thread_;
};

// ---- the consumer ----------------------------------------------------------------------------------------------------------

struct blocking_consumer_state {
    std::shared_ptr<blocking_core> core;
    consumer opened;
    std::optional<std::future<std::pair<boost::system::error_code, received>>> receiving;  // goes on when its caller's time is up
};

blocking_consumer::blocking_consumer(std::unique_ptr<blocking_consumer_state> state) : state_(std::move(state)) {}
blocking_consumer::blocking_consumer(blocking_consumer&&) noexcept = default;

blocking_consumer& blocking_consumer::operator=(blocking_consumer&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}

blocking_consumer::~blocking_consumer() {
    if (state_) state_->core->run([this] { state_->opened = consumer(); });
}

std::vector<delivery> blocking_consumer::receive(std::chrono::milliseconds limit) {
    auto& s = *state_;
    if (!s.receiving) {
        auto promise = std::make_shared<std::promise<std::pair<boost::system::error_code, received>>>();
        s.receiving = promise->get_future();
        s.core->run([&] {
            s.opened.async_receive([promise](boost::system::error_code failed, received batch) { promise->set_value({failed, std::move(batch)}); });
        });
    }
    if (limit == std::chrono::milliseconds::max())
        s.receiving->wait();
    else if (s.receiving->wait_for(limit) != std::future_status::ready)
        return {};
    auto [failed, batch] = std::exchange(s.receiving, {})->get();
    if (failed) raise(failed, batch.refusal);
    return std::move(batch.deliveries);
}

std::vector<delivery> blocking_consumer::receive() { return receive(std::chrono::milliseconds::max()); }

void blocking_consumer::start(const delivery& d) { state_->core->run([&] { state_->opened.start(d); }); }
void blocking_consumer::ack(const delivery& d) { state_->core->run([&] { state_->opened.ack(d); }); }
void blocking_consumer::nack(const delivery& d, std::string reason) { state_->core->run([&] { state_->opened.nack(d, reason); }); }
void blocking_consumer::reject(const delivery& d, std::string reason) { state_->core->run([&] { state_->opened.reject(d, reason); }); }
void blocking_consumer::release(const delivery& d) { state_->core->run([&] { state_->opened.release(d); }); }

bool blocking_consumer::extend(const delivery& d) {
    auto [failed, settled] = state_->core->ask<settlement>([&](auto handler) { state_->opened.async_extend(d, std::move(handler)); });
    if (failed == make_error_code(errc::lease_lost)) return false;
    if (failed) raise(failed, settled.refusal);
    return settled.lost.empty();
}

settlement blocking_consumer::settle() {
    return state_->core->checked<settlement>([&](auto handler) { state_->opened.async_settle(std::move(handler)); });
}

void blocking_consumer::close() {
    state_->core->checked<done>([&](auto handler) { state_->opened.async_close(std::move(handler)); });
}

// ---- the client --------------------------------------------------------------------------------------------------------------

blocking_client::blocking_client(connection_settings settings) : core_(std::make_shared<blocking_core>(std::move(settings))) {
    core_->description = core_->checked<broker_description>([&](auto handler) { core_->on().async_connect(std::move(handler)); });
}

blocking_client::~blocking_client() = default;

const broker_description& blocking_client::broker() const noexcept { return core_->description; }

topic_description blocking_client::create_topic(std::string name, topic_settings settings) {
    return core_->checked<topic_description>([&](auto h) { core_->on().async_create_topic(name, settings, std::move(h)); });
}
topic_description blocking_client::update_topic(std::string name, topic_settings settings) {
    return core_->checked<topic_description>([&](auto h) { core_->on().async_update_topic(name, settings, std::move(h)); });
}
topic_description blocking_client::describe_topic(std::string name) {
    return core_->checked<topic_description>([&](auto h) { core_->on().async_describe_topic(name, std::move(h)); });
}
std::vector<std::string> blocking_client::list_topics() {
    std::vector<std::string> all;
    for (bool more = true; more;) {
        const auto after = all.empty() ? std::string() : all.back();
        auto page = core_->checked<name_list>([&](auto h) { core_->on().async_list_topics(after, std::move(h)); });
        more = page.more && !page.names.empty();
        all.insert(all.end(), std::make_move_iterator(page.names.begin()), std::make_move_iterator(page.names.end()));
    }
    return all;
}
void blocking_client::delete_topic(std::string name, bool force) {
    core_->checked<done>([&](auto h) { core_->on().async_delete_topic(name, force, std::move(h)); });
}
void blocking_client::purge_topic(std::string name) {
    core_->checked<done>([&](auto h) { core_->on().async_purge_topic(name, std::move(h)); });
}

subscription_description blocking_client::create_subscription(std::string topic, std::string name, subscription_settings settings,
                                                              start_position start) {
    return core_->checked<subscription_description>(
        [&](auto h) { core_->on().async_create_subscription(topic, name, settings, start, std::move(h)); });
}
subscription_description blocking_client::update_subscription(std::string topic, std::string name, subscription_settings settings) {
    return core_->checked<subscription_description>([&](auto h) { core_->on().async_update_subscription(topic, name, settings, std::move(h)); });
}
subscription_description blocking_client::describe_subscription(std::string topic, std::string name) {
    return core_->checked<subscription_description>([&](auto h) { core_->on().async_describe_subscription(topic, name, std::move(h)); });
}
std::vector<std::string> blocking_client::list_subscriptions(std::string topic) {
    return core_->checked<name_list>([&](auto h) { core_->on().async_list_subscriptions(topic, std::move(h)); }).names;
}
void blocking_client::delete_subscription(std::string topic, std::string name, bool force) {
    core_->checked<done>([&](auto h) { core_->on().async_delete_subscription(topic, name, force, std::move(h)); });
}

receipt blocking_client::publish(std::string topic, message m, publish_options options) {
    return core_->checked<receipt>([&](auto h) { core_->on().async_publish(topic, std::move(m), options, std::move(h)); });
}

std::vector<receipt> blocking_client::publish_all(std::string topic, std::vector<message> messages, publish_options options) {
    std::vector<receipt> receipts(messages.size());
    if (messages.empty()) return receipts;
    auto promise = std::make_shared<std::promise<void>>();
    auto answered = promise->get_future();
    std::size_t unanswered = messages.size();
    boost::system::error_code first_failed;
    std::string refusal;
    core_->run([&] {
        for (std::size_t i = 0; i < messages.size(); ++i)
            core_->on().async_publish(topic, std::move(messages[i]), options, [&, i, promise](boost::system::error_code failed, receipt r) {
                if (failed && !first_failed) {
                    first_failed = failed;
                    refusal = r.refusal;
                }
                receipts[i] = std::move(r);
                if (--unanswered == 0) promise->set_value();
            });
    });
    answered.get();
    if (first_failed) raise(first_failed, refusal);
    return receipts;
}

peeked blocking_client::peek(std::string topic, peek_options options) {
    return core_->checked<peeked>([&](auto h) { core_->on().async_peek(topic, options, std::move(h)); });
}

blocking_consumer blocking_client::subscribe(std::string topic, std::string subscription, subscribe_options options) {
    auto opened = core_->checked<consumer>([&](auto h) { core_->on().async_subscribe(topic, subscription, options, std::move(h)); });
    return blocking_consumer(std::make_unique<blocking_consumer_state>(blocking_consumer_state{core_, std::move(opened), {}}));
}

}  // namespace millrace::client
