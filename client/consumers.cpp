#include "client/consumers.hpp"

#include <algorithm>
#include <utility>

#include "client/request.hpp"

namespace millrace::client {
namespace {

constexpr std::size_t ack_flights_max = 2;
constexpr std::size_t ranges_per_ack_max = 65'536;  // 1.5 MiB of a frame
constexpr std::size_t lost_ranges_max = 1'024;

std::uint32_t number_on_wire(consumer_number number) {
    return static_cast<std::uint32_t>(number);
}

}  // namespace

consumer_number consumers::open(ticket operation, const std::string& topic, const std::string& subscription,
                                const subscribe_options& options) {
    const consumer_number number{++last_number_};
    auto& c = consumers_[number];
    c.window_messages = std::max(options.credit_messages, 1u);
    c.window_bytes = std::max<std::uint64_t>(options.credit_bytes, 1);
    c.may_come = c.window_messages;
    const auto id = talk_.ask(recipient::subscribe, wire::Message::Subscribed, operation, number_on_wire(number));
    auto& b = talk_.builder;
    const auto topic_text = b.CreateString(topic);
    const auto subscription_text = b.CreateString(subscription);
    const auto name = b.CreateString(options.name);
    talk_.send(id, wire::CreateSubscribe(b, number_on_wire(number), topic_text, subscription_text, c.window_messages, c.window_bytes, name));
    return number;
}

void consumers::close(ticket operation, consumer_number number) {
    if (auto* c = find_open(number))
        unsubscribe(operation, number, *c);
    else
        talk_.complete(operation, {errc::no_such_consumer, "the consumer is closed already"});
}

void consumers::close_all() {
    for (auto& [number, c] : consumers_)
        if (c.state == phase::open) unsubscribe(no_ticket, number, c);
}

void consumers::ack(consumer_number number, const delivery& d) {
    auto* c = find_open(number);
    if (!c) return;
    const auto freed = c->held.remove(d.partition, d.attempt, d.sequence);
    if (freed.messages == 0) return;
    c->acks.add(d.partition, d.attempt, d.sequence);
    free_credit(*c, freed);
}

void consumers::set_aside(consumer_number number, const delivery& d) {
    if (auto* c = find_open(number)) free_credit(*c, c->held.remove(d.partition, d.attempt, d.sequence));
}

void consumers::settle(ticket operation, consumer_number number) {
    auto* c = find(number);
    if (!c) return talk_.complete(operation, {errc::no_such_consumer, "the consumer is closed"});
    if (!c->acks.empty()) return c->waiting.push_back(operation);
    if (!c->flights.empty()) return c->flights.back().waiting.push_back(operation);
    report(*c, {operation});
}

void consumers::end_turn() {
    for (auto& [number, c] : consumers_) {
        if (c.state != phase::open) continue;
        if (c.flights.size() < ack_flights_max) send_acks(number, c);
        if (c.to_give.messages * 2ull >= c.window_messages || c.to_give.bytes * 2 >= c.window_bytes) send_credit(number, c);
    }
}

error consumers::on_deliver(const proto::frame& frame) {
    const auto* message = frame.head->message_as_Deliver();
    delivered arrived{consumer_number{message->consumer()}, {}};
    std::vector<std::uint32_t> sizes;
    if (auto failed = read_runs(message->runs(), frame.body, arrived.deliveries, &sizes)) return failed;
    auto* c = find(arrived.consumer);
    // What was on its way when the consumer closed is given back by the broker itself.
    if (!c || c->state == phase::closing || c->state == phase::gone) return {};
    if (sizes.size() > c->may_come)
        return {errc::credit_exceeded, "the broker delivered " + std::to_string(sizes.size()) + " messages on a credit of " +
                                           std::to_string(c->may_come)};
    c->may_come -= sizes.size();
    if (arrived.deliveries.empty()) return {};
    auto next = sizes.cbegin();
    for (const auto* run : *message->runs()) {
        if (run->count() == 0) continue;
        const auto end = next + run->count();
        free_credit(*c, c->held.add(run->partition(), run->attempt(), {run->first()}, {next, end}));
        next = end;
    }
    talk_.events.emplace_back(std::move(arrived));
    return {};
}

void consumers::on_ended(const wire::ConsumerEnded& message) {
    const consumer_number number{message.consumer()};
    auto* c = find(number);
    if (!c || c->state == phase::closing || c->state == phase::gone) return;
    const error reason{static_cast<errc>(message.code()), message.what() ? message.what()->str() : std::string()};
    talk_.events.emplace_back(consumer_ended{number, reason});
    end(number, *c, reason);
}

void consumers::on_subscribed(const waiting_request& asked, const error& refused, answer content) {
    const consumer_number number{asked.subject};
    auto* c = find(number);
    if (c && refused) end(number, *c, refused);
    if (c && !refused && c->state == phase::opening) c->state = phase::open;
    if (!asked.given_up) return talk_.complete(asked.operation, refused, std::move(content));
    // Nobody knows of this consumer any more: it must not keep leases.
    if (c && !refused) unsubscribe(no_ticket, number, *c);
}

void consumers::on_unsubscribed(const waiting_request& asked, const error& refused) {
    if (!asked.given_up) talk_.complete(asked.operation, refused);
    const consumer_number number{asked.subject};
    if (auto* c = find(number)) end(number, *c, {errc::no_such_consumer, "the consumer is closed"});
}

void consumers::on_acked(std::uint64_t id, const waiting_request& asked, const error& refused, answer content) {
    const consumer_number number{asked.subject};
    auto* c = find(number);
    if (!c) return;
    if (refused && !c->refused) c->refused = refused;
    if (const auto* settled = std::get_if<settlement>(&content))
        for (const auto& range : settled->lost)
            if (c->lost.size() < lost_ranges_max) c->lost.push_back(range);
    for (auto& flight : c->flights)
        if (flight.id == id) flight.answered = true;
    // Whoever waits for a flight waits for all before it.
    while (!c->flights.empty() && c->flights.front().answered) {
        report(*c, c->flights.front().waiting);
        c->flights.pop_front();
    }
    forget_if_done(number, *c);
}

void consumers::give_up(std::uint64_t id, const waiting_request& asked, const error& refused) {
    if (asked.taker != recipient::ack) return talk_.complete(asked.operation, refused);
    auto* c = find(consumer_number{asked.subject});
    if (!c) return;
    for (auto& flight : c->flights) {
        if (flight.id != id) continue;
        for (const auto operation : std::exchange(flight.waiting, {})) talk_.complete(operation, refused);
    }
}

void consumers::fail_all(const error& reason) {
    for (auto& [number, c] : consumers_) {
        for (auto& flight : c.flights)
            for (const auto operation : flight.waiting) talk_.complete(operation, reason);
        for (const auto operation : c.waiting) talk_.complete(operation, reason);
        if (c.state == phase::open) talk_.events.emplace_back(consumer_ended{number, reason});
    }
    consumers_.clear();
}

bool consumers::idle() const noexcept {
    return std::all_of(consumers_.begin(), consumers_.end(), [](const auto& entry) {
        return entry.second.acks.empty() && entry.second.flights.empty() && entry.second.waiting.empty();
    });
}

consumers::consumer* consumers::find(consumer_number number) {
    const auto found = consumers_.find(number);
    return found == consumers_.end() ? nullptr : &found->second;
}

consumers::consumer* consumers::find_open(consumer_number number) {
    auto* c = find(number);
    return c && c->state == phase::open ? c : nullptr;
}

void consumers::free_credit(consumer& c, held_leases::freed freed) {
    c.to_give.messages += freed.messages;
    c.to_give.bytes += freed.bytes;
}

void consumers::send_acks(consumer_number number, consumer& c) {
    while (!c.acks.empty()) {
        std::vector<wire::LeaseRange> ranges;
        for (const auto& r : c.acks.take(ranges_per_ack_max)) ranges.emplace_back(r.first.value, r.last.value, r.partition, r.attempt);
        const auto id = talk_.ask(recipient::ack, wire::Message::Acked, no_ticket, number_on_wire(number));
        talk_.send(id, wire::CreateAckDirect(talk_.builder, number_on_wire(number), &ranges));
        c.flights.push_back({id, {}});
    }
    if (!c.waiting.empty()) c.flights.back().waiting = std::exchange(c.waiting, {});
}

void consumers::send_credit(consumer_number number, consumer& c) {
    const auto given = std::exchange(c.to_give, {});
    c.may_come += given.messages;
    talk_.send(0, wire::CreateCredit(talk_.builder, number_on_wire(number), given.messages, given.bytes));
}

void consumers::unsubscribe(ticket operation, consumer_number number, consumer& c) {
    send_acks(number, c);
    c.state = phase::closing;
    const auto id = talk_.ask(recipient::unsubscribe, wire::Message::Ok, operation, number_on_wire(number));
    talk_.send(id, wire::CreateUnsubscribe(talk_.builder, number_on_wire(number)));
}

/// No ack can be sent any more; those under way keep their answers.
void consumers::end(consumer_number number, consumer& c, const error& reason) {
    c.state = phase::gone;
    c.acks = {};
    for (const auto operation : std::exchange(c.waiting, {})) talk_.complete(operation, reason);
    forget_if_done(number, c);
}

/// Tells those who wait what became of the acks; what they were told is told.
void consumers::report(consumer& c, const std::vector<ticket>& waiting) {
    if (waiting.empty()) return;
    const auto refused = std::exchange(c.refused, {});
    const settlement told{std::exchange(c.lost, {}), {}};
    for (const auto operation : waiting) talk_.complete(operation, refused, told);
}

void consumers::forget_if_done(consumer_number number, const consumer& c) {
    if (c.state == phase::gone && c.flights.empty()) consumers_.erase(number);
}

}  // namespace millrace::client
