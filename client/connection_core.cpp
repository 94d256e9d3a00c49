#include "client/connection_core.hpp"

#include <algorithm>
#include <exception>
#include <random>

#include <boost/asio/post.hpp>

#include "client/token_file.hpp"

namespace millrace::client {
namespace {

boost::system::error_code code_of(const error& refused) {
    return refused ? boost::system::error_code(make_error_code(refused.code)) : boost::system::error_code();
}

constexpr std::size_t prefetched = 8;  // handlers ahead of the one that is called: they were put away thousands of publishes ago

/// The words for `refusal`: what was said, else what the code means.
std::string words_of(const error& refused) {
    return refused && refused.what.empty() ? error_category().message(static_cast<int>(refused.code)) : refused.what;
}

template <class T>
void finish(completion<T>& handler, const error& refused, T result) {
    result.refusal = words_of(refused);
    handler(code_of(refused), std::move(result));
}

}  // namespace

void consumer_state::hand_over() {
    if (!waiting || (arrived.empty() && !reason)) return;
    receiving = false;
    auto handler = std::move(waiting);
    if (!arrived.empty()) return finish(handler, {}, received{std::exchange(arrived, {}), {}});
    finish(handler, reason, received{});
}

template <class T>
void connection_core::complete_later(completion<T> handler, error refused, T result) {
    boost::asio::post(executor_, [handler = std::move(handler), refused = std::move(refused), result = std::move(result)]() mutable {
        finish(handler, refused, std::move(result));
    });
}

// The handler goes with it: one that the state kept would keep the state, if the post were never run.
void connection_core::hand_over_later(const detail::consumer_pointer& state) {
    boost::asio::post(executor_, [state, handler = std::move(state->waiting)]() mutable {
        if (handler) state->waiting = std::move(handler);
        state->hand_over();
    });
}

machine_settings connection_core::for_machine() const {
    machine_settings s;
    s.token = settings_.token;
    s.name = settings_.name;
    s.hello_timeout = settings_.connect_timeout;
    s.request_timeout = settings_.request_timeout;
    s.reconnects = settings_.reconnect.enabled;
    s.resends = settings_.reconnect.resend_unanswered;
    s.pause_min = settings_.reconnect.pause_min;
    s.pause_max = std::max(settings_.reconnect.pause_max, settings_.reconnect.pause_min);
    std::random_device random;
    s.incarnation = std::uint64_t{random()} << 32 | random();
    s.publishing.producer = settings_.producer;
    s.publishing.linger = settings_.linger;
    s.publishing.compression = static_cast<proto::compression>(settings_.compression);
    return s;
}

// ---- operations ------------------------------------------------------------------------------------------------------------

void connection_core::connect(completion<broker_description> handler) {
    if (link_) return complete_later(std::move(handler), {errc::invalid_argument, "there is a connection already"}, broker_description{});
    if (!settings_.token_file.empty()) {
        auto token = read_token_file(settings_.token_file);
        if (!token) return complete_later(std::move(handler), token.failure(), broker_description{});
        settings_.token = std::move(token.value());
    }
    connecting_ = std::move(handler);
    link_ = std::make_shared<link>(executor_, for_machine(), weak_from_this());
    link::start(link_, shared_from_this(), settings_.server, settings_.connect_timeout, [self = weak_from_this()] {
        if (const auto core = self.lock()) core->on_link_closed();
    });
}

void connection_core::close(completion<done> handler) {
    if (!link_) return complete_later(std::move(handler), {}, done{});
    closing_.push_back(std::move(handler));
    link_->close();
}

void connection_core::publish(completion<receipt>&& handler, const std::string& topic, message&& m, publish_options options) {
    if (!link_) return complete_later(std::move(handler), not_connected(), receipt{});
    link_->ask().publish(ticket{publishes_.put(std::move(handler))}, topic, std::move(m), options);
    link_->send();
}

void connection_core::subscribe(completion<consumer> handler, const std::string& topic, const std::string& subscription,
                                const subscribe_options& options) {
    if (!link_) {
        boost::asio::post(executor_, [handler = std::move(handler)]() mutable {
            handler(code_of(not_connected()), consumer(not_connected().what));
        });
        return;
    }
    const ticket operation{++last_ticket_};
    auto state = std::make_shared<consumer_state>();
    state->on = link_;
    state->number = link_->ask().subscribe(operation, topic, subscription, options);
    requests_.emplace_hint(requests_.end(), operation, opening_consumer{std::move(handler), std::move(state)});
}

void connection_core::receive(completion<received> handler, const detail::consumer_pointer& state) {
    if (std::exchange(state->receiving, true)) return complete_later(std::move(handler), {errc::invalid_argument, "a receive is under way already"}, received{});
    state->waiting = std::move(handler);
    if (!state->arrived.empty() || state->reason) hand_over_later(state);
}

void connection_core::settle(completion<settlement> handler, const detail::consumer_pointer& state) {
    auto& machine = state->on->ask();
    machine.settle(keep(std::move(handler)), state->number);
}

void connection_core::extend(completion<settlement> handler, const detail::consumer_pointer& state, const delivery& d) {
    auto& machine = state->on->ask();
    machine.extend(keep(std::move(handler)), state->number, d);
}

void connection_core::stop(const detail::consumer_pointer& state) {
    state->on->ask().stop(state->number);
    state->arrived.clear();
    if (!state->reason) state->reason = {errc::canceled, "the consumer takes nothing more"};
    hand_over_later(state);
}

void connection_core::unsubscribe(completion<done> handler, const detail::consumer_pointer& state) {
    auto& machine = state->on->ask();
    machine.unsubscribe(keep(std::move(handler)), state->number);
    mark_closed(state);
}

void connection_core::drop(const detail::consumer_pointer& state) {
    state->on->ask().unsubscribe(no_ticket, state->number);
    mark_closed(state);
}

void connection_core::mark_closed(const detail::consumer_pointer& state) {
    if (std::exchange(state->closed, true)) return;
    // Credit for what arrived and was not received is of no use to a consumer that ends.
    state->arrived.clear();
    if (!state->reason) state->reason = {errc::canceled, "the consumer is closed"};
    if (state->on == link_) consumers_.erase(state->number);
    hand_over_later(state);
}

void connection_core::abandon() {
    if (link_) link_->abort({errc::canceled, "the connection was destroyed"});
}

// ---- events ----------------------------------------------------------------------------------------------------------------

template <class Call>
void connection_core::shielded(Call call) {
    try {
        call();
    } catch (...) {
        boost::asio::post(executor_, [thrown = std::current_exception()] { std::rethrow_exception(thrown); });
    }
}

void connection_core::on_events(std::vector<event>& events) {
    for (auto& e : events) shielded([&] { std::visit([this](auto& content) { take(content); }, e); });
}

void connection_core::take(published& e) {
    sequence next = e.first;
    for (std::size_t i = 0; i < e.operations.size(); ++i) {
        if (i + prefetched < e.operations.size()) publishes_.prefetch(static_cast<std::uint64_t>(e.operations[i + prefetched]));
        shielded([&] {
            auto handler = publishes_.take(static_cast<std::uint64_t>(e.operations[i]));
            if (e.refused) return finish(handler, e.refused, receipt{});
            handler({}, receipt{e.partition, next, e.level, e.batch, {}});
        });
        ++next;
    }
}

void connection_core::take(completed& e) {
    auto node = requests_.extract(e.operation);
    assert(!node.empty());
    std::visit([&](auto& waiting) { complete(std::move(waiting), e); }, node.mapped());
}

template <class T>
void connection_core::complete(completion<T> handler, completed& e) {
    auto* content = std::get_if<T>(&e.content);
    assert(content || e.refused);
    finish(handler, e.refused, content && !e.refused ? std::move(*content) : T{});
}

void connection_core::complete(opening_consumer opened, completed& e) {
    if (e.refused) return opened.handler(code_of(e.refused), consumer(words_of(e.refused)));
    opened.state->visibility_timeout = std::get<subscribed>(e.content).visibility_timeout;
    consumers_[opened.state->number] = opened.state;
    opened.handler({}, consumer(shared_from_this(), opened.state));
}

void connection_core::take(delivered& e) {
    const auto found = consumers_.find(e.consumer);
    if (found == consumers_.end()) return;
    const auto state = found->second;
    if (state->arrived.empty())
        state->arrived = std::move(e.deliveries);
    else
        state->arrived.insert(state->arrived.end(), std::make_move_iterator(e.deliveries.begin()), std::make_move_iterator(e.deliveries.end()));
    state->hand_over();
}

void connection_core::take(consumer_interrupted& e) {
    const auto found = consumers_.find(e.consumer);
    if (found != consumers_.end()) found->second->arrived.clear();
}

void connection_core::take(leases_lost& e) {
    const auto found = consumers_.find(e.consumer);
    if (found == consumers_.end()) return;
    const auto state = found->second;
    if (state->on_lost) state->on_lost(e.ranges);
}

void connection_core::take(consumer_ended& e) {
    auto node = consumers_.extract(e.consumer);
    if (node.empty()) return;
    node.mapped()->reason = e.reason ? e.reason : error{errc::no_such_consumer, "the broker ended the consumer"};
    node.mapped()->hand_over();
}

void connection_core::take(welcomed& e) {
    if (auto handler = std::move(connecting_)) return handler({}, std::move(e.broker));
    if (on_return_) on_return_(e.broker);
}

void connection_core::take(ended& e) {
    if (!e.reason && connecting_) e.reason = {errc::canceled, "the connection was closed"};
    if (auto handler = std::move(connecting_)) finish(handler, e.reason, broker_description{});
}

void connection_core::on_link_closed() {
    link_.reset();
    consumers_.clear();
    for (auto& handler : std::exchange(closing_, {})) shielded([&] { handler({}, done{}); });
}

// What a handler owns often owns this: a coroutine that waits in a receive has its connection on its stack. So they go, uncalled, and what they owned
// with them, which may ask something of this core once more.
void connection_core::on_destroyed() {
    std::vector<completion<received>> receives;
    for (const auto& [number, state] : std::exchange(consumers_, {})) receives.push_back(std::move(state->waiting));
    const auto connecting = std::move(connecting_);
    const auto closing = std::exchange(closing_, {});
    const auto publishes = std::move(publishes_);
    const auto requests = std::exchange(requests_, {});
}

// ---- what the header's templates call ------------------------------------------------------------------------------------------

namespace detail {

const boost::asio::any_io_executor& executor_of(const core_pointer& core) noexcept { return core->executor(); }

void start_connect(const core_pointer& c, completion<broker_description> h) { c->connect(std::move(h)); }
void start_close(const core_pointer& c, completion<done> h) { c->close(std::move(h)); }
void start_create_topic(const core_pointer& c, completion<topic_description> h, std::string name, topic_settings s) {
    c->ask(std::move(h), create_topic{std::move(name), s});
}
void start_update_topic(const core_pointer& c, completion<topic_description> h, std::string name, topic_settings s) {
    c->ask(std::move(h), update_topic{std::move(name), s});
}
void start_describe_topic(const core_pointer& c, completion<topic_description> h, std::string name) {
    c->ask(std::move(h), describe_topic{std::move(name)});
}
void start_list_topics(const core_pointer& c, completion<name_list> h, std::string after) {
    c->ask(std::move(h), list_topics{std::move(after), 0});
}
void start_delete_topic(const core_pointer& c, completion<done> h, std::string name, bool force) {
    c->ask(std::move(h), delete_topic{std::move(name), force});
}
void start_purge_topic(const core_pointer& c, completion<done> h, std::string name) { c->ask(std::move(h), purge_topic{std::move(name)}); }
void start_create_subscription(const core_pointer& c, completion<subscription_description> h, std::string topic, std::string name,
                               subscription_settings s, start_position start) {
    c->ask(std::move(h), create_subscription{std::move(topic), std::move(name), std::move(s), start});
}
void start_describe_subscription(const core_pointer& c, completion<subscription_description> h, std::string topic, std::string name) {
    c->ask(std::move(h), describe_subscription{std::move(topic), std::move(name)});
}
void start_list_subscriptions(const core_pointer& c, completion<name_list> h, std::string topic) {
    c->ask(std::move(h), list_subscriptions{std::move(topic)});
}
void start_update_subscription(const core_pointer& c, completion<subscription_description> h, std::string topic, std::string name,
                               subscription_settings s) {
    c->ask(std::move(h), update_subscription{std::move(topic), std::move(name), std::move(s)});
}
void start_delete_subscription(const core_pointer& c, completion<done> h, std::string topic, std::string name, bool force) {
    c->ask(std::move(h), delete_subscription{std::move(topic), std::move(name), force});
}
void start_publish(const core_pointer& c, completion<receipt> h, const std::string& topic, message&& m, publish_options o) {
    c->publish(std::move(h), topic, std::move(m), o);
}
void start_peek(const core_pointer& c, completion<peeked> h, std::string topic, peek_options o) { c->ask(std::move(h), peek{std::move(topic), o}); }
void start_subscribe(const core_pointer& c, completion<consumer> h, std::string topic, std::string subscription, subscribe_options o) {
    c->subscribe(std::move(h), topic, subscription, o);
}
void start_receive(const core_pointer& c, completion<received> h, consumer_pointer s) { c->receive(std::move(h), s); }
void start_settle(const core_pointer& c, completion<settlement> h, consumer_pointer s) { c->settle(std::move(h), s); }
void start_extend(const core_pointer& c, completion<settlement> h, consumer_pointer s, delivery d) { c->extend(std::move(h), s, d); }
void start_unsubscribe(const core_pointer& c, completion<done> h, consumer_pointer s) { c->unsubscribe(std::move(h), s); }

}  // namespace detail
}  // namespace millrace::client
