// The asynchronous client: one connection to a broker, on Boost.Asio. It comes back by itself when it is lost (see reconnect_settings).
//
//     millrace::client::connection broker(executor, {.server = "127.0.0.1:7070"});
//     co_await broker.async_connect(asio::use_awaitable);
//     millrace::message m{.payload = bytes};
//     auto r = co_await broker.async_publish("photos", std::move(m), asio::use_awaitable);
//
// With GCC 12, name messages and options before the co_await, as above: an aggregate made inside the expression has its strings freed twice.
//
// What a lost connection does to what is under way:
//   publishes      wait and go on when it is back; one that was unanswered may then be there twice, or ends (reconnect_settings), unless the
//                  connection has the name of a producer: then everything is there once (connection_settings::producer)
//   consumers      subscribe again and get back what they had started; what was received and not started comes again, to anybody
//   acks and such  go on when it is back; the settlement names those whose fate stays unknown, and those that come too late: of what was received before
//                  and not started
//   all other      operations end with connection_lost; so does everything when it does not come back
//
// Threads: a connection and its consumers live on one executor: a single-threaded io_context, or a strand. Call every function on it; nothing
// here locks. Completion handlers run there too, or on the executor they are bound to, and never inside the call that started the operation. What one
// throws leaves io_context::run(), which may be called again: the others are called, and the connection goes on.
//
// Errors: every operation ends once, with void(boost::system::error_code, T). The code compares equal to millrace::make_error_code(errc);
// T's `refusal` has the broker's own words. After outcome_unknown, timed_out or connection_lost an operation may or may not have happened.
//
// Ownership: operations under way keep what they need; destroying a connection ends them with errc::canceled. Arguments are taken by value.
// Memory: a connection holds every message it was asked to publish until it is answered. Who publishes bounds how many are under way.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/system/error_code.hpp>

#include "millrace/client_types.hpp"
#include "millrace/completion.hpp"
#include "millrace/error.hpp"

namespace millrace::client {

class connection_core;
struct consumer_state;
class consumer;

namespace detail {

using core_pointer = std::shared_ptr<connection_core>;
using consumer_pointer = std::shared_ptr<consumer_state>;

const boost::asio::any_io_executor& executor_of(const core_pointer& core) noexcept;

void start_connect(const core_pointer&, completion<broker_description>);
void start_close(const core_pointer&, completion<done>);
void start_create_topic(const core_pointer&, completion<topic_description>, std::string name, topic_settings);
void start_update_topic(const core_pointer&, completion<topic_description>, std::string name, topic_settings);
void start_describe_topic(const core_pointer&, completion<topic_description>, std::string name);
void start_list_topics(const core_pointer&, completion<name_list>, std::string after);
void start_delete_topic(const core_pointer&, completion<done>, std::string name, bool force);
void start_purge_topic(const core_pointer&, completion<done>, std::string name);
void start_create_subscription(const core_pointer&, completion<subscription_description>, std::string topic, std::string name,
                               subscription_settings, start_position);
void start_describe_subscription(const core_pointer&, completion<subscription_description>, std::string topic, std::string name);
void start_list_subscriptions(const core_pointer&, completion<name_list>, std::string topic);
void start_update_subscription(const core_pointer&, completion<subscription_description>, std::string topic, std::string name,
                               subscription_settings);
void start_delete_subscription(const core_pointer&, completion<done>, std::string topic, std::string name, bool force);
void start_publish(const core_pointer&, completion<receipt>, const std::string& topic, message&&, publish_options);
void start_peek(const core_pointer&, completion<peeked>, std::string topic, peek_options);
void start_subscribe(const core_pointer&, completion<consumer>, std::string topic, std::string subscription, subscribe_options);
void start_receive(const core_pointer&, completion<received>, consumer_pointer);
void start_settle(const core_pointer&, completion<settlement>, consumer_pointer);
void start_extend(const core_pointer&, completion<settlement>, consumer_pointer, delivery);
void start_unsubscribe(const core_pointer&, completion<done>, consumer_pointer);

/// What Asio calls, now or when a deferred operation is launched: only then, when Asio has taken a copy, is it an owner of the connection.
template <class T, auto Start>
class initiation {
public:
    explicit initiation(const core_pointer& core) noexcept : core_(core) {}
    initiation(const initiation& other) noexcept : kept_(other.core_), core_(kept_) {}

    using executor_type = boost::asio::any_io_executor;
    executor_type get_executor() const noexcept { return executor_of(core_); }

    template <class Handler, class... Arguments>
    void operator()(Handler&& handler, Arguments&&... arguments) const {
        Start(core_, completion<T>(std::forward<Handler>(handler), executor_of(core_)), std::forward<Arguments>(arguments)...);
    }

private:
    core_pointer kept_;
    const core_pointer& core_;
};

template <class T, auto Start, class Token, class... Arguments>
auto initiate(const core_pointer& core, Token&& token, Arguments&&... arguments) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, T)>(initiation<T, Start>(core), token,
                                                                                  std::forward<Arguments>(arguments)...);
}

}  // namespace detail

/// Receives the messages of one subscription. Move-only; an empty one may only be assigned to. Destroying it closes it without waiting.
class consumer {
public:
    consumer() noexcept = default;
    consumer(consumer&&) noexcept = default;
    consumer& operator=(consumer&& other) noexcept;
    ~consumer();

    explicit operator bool() const noexcept { return state_ != nullptr; }

    /// The broker's words when async_subscribe failed.
    const std::string& refusal() const noexcept { return refusal_; }

    /// Everything that has arrived, at least one message. One receive at a time (invalid_argument). When the consumer has ended, the reason.
    /// void(error_code, received)
    template <class Token>
    auto async_receive(Token&& token) {
        return detail::initiate<received, detail::start_receive>(core_, std::forward<Token>(token), state_);
    }

    /// The length of a lease, from its start on, as it was when the consumer was opened.
    std::chrono::milliseconds visibility_timeout() const noexcept;

    // ---- what becomes of a message. All of these are sent with others at the end of the turn, and give the message's credit back, but start. They
    // have no effect when the message was handed in or set aside before; nor when the connection was lost since it came and it was not started, or the
    // consumer has ended: then the message comes again, and the next settlement names it as lost. ----

    /// Work on it begins: its visibility timeout runs from now on, and this client may keep it when the connection is lost and comes back.
    /// Without it a message stays with its consumer as long as the connection. Not sent when the message is handed in within the same turn.
    /// False when it has no effect: leave the message alone, it comes again.
    bool start(const delivery& d);

    /// Failed: it counts, and comes again after a backoff until it has failed max_deliveries times. `reason` is kept, up to 1024 bytes.
    void nack(const delivery& d, const std::string& reason = {});

    /// Failed for good: to the dead-letter topic at once, or parked where there is none.
    void reject(const delivery& d, const std::string& reason = {});

    /// Given back unstarted: does not count.
    void release(const delivery& d);

    /// Prolongs a started lease: it lasts a visibility timeout from now. settlement.lost names the message when somebody else has it.
    /// Errors: lease_lost when it is not started or not held, lease_limit when it is as old as a lease may get. void(error_code, settlement)
    template <class Token>
    auto async_extend(const delivery& d, Token&& token) {
        return detail::initiate<settlement, detail::start_extend>(core_, std::forward<Token>(token), state_,
                                                                    delivery{{}, d.sequence, {}, d.partition, d.attempt, d.connection, {}});
    }

    /// Takes nothing more: everything that is not started is released, and a receive ends with canceled. What is started stays.
    void stop();

    /// Called on the connection's executor when started messages turn out to be somebody else's after a reconnection.
    void on_leases_lost(std::function<void(const std::vector<lost_range>&)> notify);

    /// Settles the message for good. Sent with others at the end of the turn; its credit comes back by itself.
    /// Too late when the connection was lost since it came and it was not started, or the consumer has ended: the settlement names it, and it comes again.
    void ack(const delivery& d);

    /// As ack(), and completes as async_settle(). void(error_code, settlement)
    template <class Token>
    auto async_ack(const delivery& d, Token&& token) {
        ack(d);
        return async_settle(std::forward<Token>(token));
    }

    /// Completes when all that was handed in so far is durable, or refused, or its lease was lost. void(error_code, settlement)
    template <class Token>
    auto async_settle(Token&& token) {
        return detail::initiate<settlement, detail::start_settle>(core_, std::forward<Token>(token), state_);
    }

    /// Gives the message's credit back without settling it: the lease stays until it ends by itself. Later acks of it have no effect.
    void set_aside(const delivery& d);

    /// Sends the acks given so far, gives every other message back to the subscription, and ends. void(error_code, done)
    template <class Token>
    auto async_close(Token&& token) {
        return detail::initiate<done, detail::start_unsubscribe>(core_, std::forward<Token>(token), state_);
    }

private:
    friend class connection_core;
    consumer(detail::core_pointer core, detail::consumer_pointer state) : core_(std::move(core)), state_(std::move(state)) {}
    explicit consumer(std::string refusal) : refusal_(std::move(refusal)) {}

    detail::core_pointer core_;
    detail::consumer_pointer state_;
    std::string refusal_;
};

/// One connection, and those that follow it when it is lost. Move-only. After it was closed, or lost without coming back, it may connect again;
/// its consumers do not come back then.
class connection {
public:
    using executor_type = boost::asio::any_io_executor;

    explicit connection(boost::asio::any_io_executor executor, connection_settings settings = {});
    connection(connection&&) noexcept = default;
    connection& operator=(connection&& other) noexcept;
    ~connection();

    executor_type get_executor() const noexcept { return detail::executor_of(core_); }

    /// Resolves, connects and says hello. Errors: connection_lost, timed_out, or the broker's refusal; invalid_argument when connected.
    /// void(error_code, broker_description)
    template <class Token>
    auto async_connect(Token&& token) {
        return detail::initiate<broker_description, detail::start_connect>(core_, std::forward<Token>(token));
    }

    /// Called on the connection's executor each time it was lost and has come back, with the broker as it is now, before anything arrives from it.
    void on_return(std::function<void(const broker_description&)> notify);

    /// Takes nothing new (canceled), waits for all answers, gives back what consumers hold, and closes. void(error_code, done)
    template <class Token>
    auto async_close(Token&& token) {
        return detail::initiate<done, detail::start_close>(core_, std::forward<Token>(token));
    }

    // ---- topics: void(error_code, topic_description), void(error_code, name_list), void(error_code, done) ----

    template <class Token>
    auto async_create_topic(std::string name, topic_settings settings, Token&& token) {
        return detail::initiate<topic_description, detail::start_create_topic>(core_, std::forward<Token>(token), std::move(name), settings);
    }
    /// Absent settings stay as they are; partitions only grow.
    template <class Token>
    auto async_update_topic(std::string name, topic_settings settings, Token&& token) {
        return detail::initiate<topic_description, detail::start_update_topic>(core_, std::forward<Token>(token), std::move(name), settings);
    }
    template <class Token>
    auto async_describe_topic(std::string name, Token&& token) {
        return detail::initiate<topic_description, detail::start_describe_topic>(core_, std::forward<Token>(token), std::move(name));
    }
    /// Names greater than `after` in byte order; `more` says that there are others.
    template <class Token>
    auto async_list_topics(std::string after, Token&& token) {
        return detail::initiate<name_list, detail::start_list_topics>(core_, std::forward<Token>(token), std::move(after));
    }
    /// in_use while consumers are attached, unless forced: then they end.
    template <class Token>
    auto async_delete_topic(std::string name, bool force, Token&& token) {
        return detail::initiate<done, detail::start_delete_topic>(core_, std::forward<Token>(token), std::move(name), force);
    }
    /// Skips every ready message of every subscription; leased ones stay with their holders.
    template <class Token>
    auto async_purge_topic(std::string name, Token&& token) {
        return detail::initiate<done, detail::start_purge_topic>(core_, std::forward<Token>(token), std::move(name));
    }

    // ---- subscriptions: void(error_code, subscription_description), void(error_code, name_list), void(error_code, done) ----

    template <class Token>
    auto async_create_subscription(std::string topic, std::string name, subscription_settings settings, start_position start, Token&& token) {
        return detail::initiate<subscription_description, detail::start_create_subscription>(core_, std::forward<Token>(token), std::move(topic),
                                                                                             std::move(name), std::move(settings), start);
    }
    template <class Token>
    auto async_describe_subscription(std::string topic, std::string name, Token&& token) {
        return detail::initiate<subscription_description, detail::start_describe_subscription>(core_, std::forward<Token>(token),
                                                                                               std::move(topic), std::move(name));
    }
    template <class Token>
    auto async_list_subscriptions(std::string topic, Token&& token) {
        return detail::initiate<name_list, detail::start_list_subscriptions>(core_, std::forward<Token>(token), std::move(topic));
    }
    /// Absent settings stay as they are.
    template <class Token>
    auto async_update_subscription(std::string topic, std::string name, subscription_settings settings, Token&& token) {
        return detail::initiate<subscription_description, detail::start_update_subscription>(
            core_, std::forward<Token>(token), std::move(topic), std::move(name), std::move(settings));
    }
    template <class Token>
    auto async_delete_subscription(std::string topic, std::string name, bool force, Token&& token) {
        return detail::initiate<done, detail::start_delete_subscription>(core_, std::forward<Token>(token), std::move(topic), std::move(name),
                                                                         force);
    }

    // ---- messages ----

    /// Completes when the message is as durable as the receipt says. Messages of one partition keep the order of these calls.
    /// Without a key, messages go to one partition after the other, a batch to each. void(error_code, receipt)
    template <class Token>
    auto async_publish(std::string topic, message m, publish_options options, Token&& token) {
        return detail::initiate<receipt, detail::start_publish>(core_, std::forward<Token>(token), std::move(topic), std::move(m), options);
    }
    template <class Token>
    auto async_publish(std::string topic, message m, Token&& token) {
        return detail::initiate<receipt, detail::start_publish>(core_, std::forward<Token>(token), std::move(topic), std::move(m), publish_options{});
    }

    /// Looks at messages without leasing them. void(error_code, peeked)
    template <class Token>
    auto async_peek(std::string topic, peek_options options, Token&& token) {
        return detail::initiate<peeked, detail::start_peek>(core_, std::forward<Token>(token), std::move(topic), options);
    }

    /// Opens a consumer. void(error_code, consumer)
    template <class Token>
    auto async_subscribe(std::string topic, std::string subscription, subscribe_options options, Token&& token) {
        return detail::initiate<consumer, detail::start_subscribe>(core_, std::forward<Token>(token), std::move(topic), std::move(subscription),
                                                                   std::move(options));
    }

private:
    detail::core_pointer core_;
};

}  // namespace millrace::client
