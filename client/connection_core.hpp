// What stands behind a connection: whose handler waits for which ticket, and what has arrived for which consumer.
#pragma once

#include <functional>
#include <map>
#include <variant>

#include <boost/asio/any_io_executor.hpp>

#include "client/link.hpp"
#include "client/slots.hpp"
#include "millrace/client.hpp"

namespace millrace::client {

/// A consumer of one link. Shared by the consumer object, the core that feeds it, and a receive under way.
struct consumer_state {
    std::shared_ptr<link> on;
    consumer_number number{};
    std::vector<delivery> arrived;
    completion<received> waiting;
    bool receiving = false;  // `waiting`, or on its way
    error reason;  // set when nothing more comes
    bool closed = false;
    std::chrono::milliseconds visibility_timeout{0};
    std::function<void(const std::vector<lost_range>&)> on_lost;

    /// Completes the waiting receive when there is something to say.
    void hand_over();
};

class connection_core : public event_taker, public std::enable_shared_from_this<connection_core> {
public:
    connection_core(boost::asio::any_io_executor executor, connection_settings settings)
        : executor_(std::move(executor)), settings_(std::move(settings)) {}

    const boost::asio::any_io_executor& executor() const noexcept { return executor_; }

    void connect(completion<broker_description> handler);
    void close(completion<done> handler);
    void on_return(std::function<void(const broker_description&)> notify) { on_return_ = std::move(notify); }
    void publish(completion<receipt>&& handler, const std::string& topic, message&& m, publish_options options);
    void subscribe(completion<consumer> handler, const std::string& topic, const std::string& subscription, const subscribe_options& options);
    void receive(completion<received> handler, const detail::consumer_pointer& state);
    void settle(completion<settlement> handler, const detail::consumer_pointer& state);
    void extend(completion<settlement> handler, const detail::consumer_pointer& state, const delivery& d);
    void stop(const detail::consumer_pointer& state);
    void unsubscribe(completion<done> handler, const detail::consumer_pointer& state);

    /// Closes a consumer that nobody waits for.
    void drop(const detail::consumer_pointer& state);

    template <class T>
    void ask(completion<T> handler, const request& asked) {
        if (!link_) return complete_later(std::move(handler), not_connected(), T{});
        auto& machine = link_->ask();
        machine.ask(keep(std::move(handler)), asked);
    }

    /// The owner is gone: everything under way ends with canceled.
    void abandon();

    void on_events(std::vector<event>& events) override;
    void on_destroyed() override;

private:
    struct opening_consumer {
        completion<consumer> handler;
        detail::consumer_pointer state;
    };

    using pending = std::variant<completion<done>, completion<topic_description>, completion<name_list>, completion<subscription_description>,
                                 completion<settlement>, completion<peeked>, opening_consumer>;

    template <class T>
    void complete_later(completion<T> handler, error refused, T result);
    void hand_over_later(const detail::consumer_pointer& state);

    template <class T>
    ticket keep(completion<T> handler) {
        const ticket operation{++last_ticket_};
        requests_.emplace_hint(requests_.end(), operation, std::move(handler));
        return operation;
    }

    static error not_connected() { return {errc::connection_lost, "there is no connection"}; }
    machine_settings for_machine() const;

    /// What `call` throws, being a handler's, leaves io_context::run() as with every Asio operation, but later: others wait behind it.
    template <class Call>
    void shielded(Call call);

    void take(completed& e);
    void take(published& e);
    void take(delivered& e);
    void take(consumer_interrupted& e);
    void take(leases_lost& e);
    void take(consumer_ended& e);
    void take(welcomed& e);
    void take(ended& e);
    template <class T>
    void complete(completion<T> handler, completed& e);
    void complete(opening_consumer opened, completed& e);
    void mark_closed(const detail::consumer_pointer& state);
    void on_link_closed();

    boost::asio::any_io_executor executor_;
    connection_settings settings_;
    std::shared_ptr<link> link_;
    completion<broker_description> connecting_;
    std::function<void(const broker_description&)> on_return_;
    std::vector<completion<done>> closing_;
    slots<completion<receipt>> publishes_;
    std::map<ticket, pending> requests_;
    std::uint64_t last_ticket_ = 0;
    std::map<consumer_number, detail::consumer_pointer> consumers_;  // of link_
};

}  // namespace millrace::client
