#include "client/consumers.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "client/request.hpp"

namespace millrace::client {
namespace {

constexpr std::size_t flights_max = 2;
constexpr std::size_t reasons_max = 256;  // frames sent in one go; a broker takes only so many unanswered requests
constexpr std::size_t reason_bytes_max = 1'024;
constexpr std::size_t ranges_per_frame_max = 65'536;  // 1.5 MiB of a frame
constexpr std::size_t lost_ranges_max = 1'024;

std::uint32_t number_on_wire(consumer_number number) {
    return static_cast<std::uint32_t>(number);
}

lease lease_of(const delivery& d) { return {d.partition, d.attempt, d.sequence, d.connection}; }

error connection_closes() { return {errc::canceled, "the connection is closing"}; }

std::vector<wire::LeaseRange> on_wire(const std::vector<lease_range>& ranges) {
    std::vector<wire::LeaseRange> out;
    out.reserve(ranges.size());
    for (const auto& r : ranges) out.emplace_back(r.first.value, r.last.value, r.partition, r.attempt);
    return out;
}

}  // namespace

consumer_number consumers::open(ticket operation, const std::string& topic, const std::string& subscription,
                                const subscribe_options& options) {
    const consumer_number number{++last_number_};
    auto& c = consumers_[number];
    c.window = {std::max(options.credit_messages, 1u), static_cast<std::int64_t>(std::clamp<std::uint64_t>(options.credit_bytes, 1, limits::credit_bytes))};
    c.given = c.window;
    c.topic = topic;
    c.subscription = subscription;
    c.name = options.name;
    const auto id = talk_.ask(recipient::subscribe, wire::Message::Subscribed, operation, number_on_wire(number));
    subscribe(id, number, c, {});
    return number;
}

void consumers::subscribe(std::uint64_t id, consumer_number number, const consumer& c, std::vector<lease_range> held) {
    auto& b = talk_.builder;
    const auto topic = b.CreateString(c.topic);
    const auto subscription = b.CreateString(c.subscription);
    const auto name = b.CreateString(c.name);
    flatbuffers::Offset<flatbuffers::Vector<const wire::LeaseRange*>> ranges = 0;
    if (!held.empty()) ranges = b.CreateVectorOfStructs(on_wire(held));
    talk_.send(id, wire::CreateSubscribe(b, number_on_wire(number), topic, subscription, static_cast<std::uint32_t>(c.given.messages),
                                          static_cast<std::uint64_t>(c.given.bytes), name, ranges));
}

void consumers::close(ticket operation, consumer_number number) {
    auto* c = find_usable(number);
    if (!c || c->close_when_open)
        talk_.complete(operation, {errc::no_such_consumer, "the consumer is closed already"});
    else if (c->state == phase::returning)
        c->close_when_open = operation;
    else
        unsubscribe(operation, number, *c);
}

/// Whoever waits for messages hears of it at once; those that are still being opened, when they are.
void consumers::close_all() {
    for (auto& [number, c] : consumers_) {
        if (c.is_usable()) talk_.events.emplace_back(consumer_ended{number, connection_closes()});
        if (c.state == phase::open) unsubscribe(no_ticket, number, c);
        if ((c.state == phase::opening || c.state == phase::returning) && !c.close_when_open) c.close_when_open = no_ticket;
    }
}

bool consumers::start(consumer_number number, const delivery& d) {
    auto* c = find_usable(number);
    const auto one = lease_of(d);
    if (!c || c->held.size_of(one) == 0) return false;
    if (!c->started.insert(one).second) return false;
    c->to_start.push_back(one);
    return true;
}

void consumers::give(consumer_number number, const delivery& d, hand_in how, const std::string& reason) {
    auto* c = find(number);
    if (!c) return;
    const auto one = lease_of(d);
    const bool was_held = c->held.remove(one);
    if (was_held && c->is_usable()) {
        if (!c->started.empty()) c->started.erase(one);
        c->gathered(how, reason.substr(0, reason_bytes_max)).add(d.partition, d.attempt, d.sequence);
    } else if (was_held || d.connection != talk_.connection) {
        miss(number, *c, {d.partition, d.attempt, d.sequence, d.sequence});
    }
}

/// Whoever waits for what is handed in is told, each of what came before.
void consumers::miss(consumer_number number, consumer& c, const lost_range& one) {
    if (c.flights.empty() || !c.flights.back().answered || !c.flights.back().waiting.empty()) c.flights.push_back({.answered = true});
    c.flights.back().lost.push_back(one);
    take_answered(number, c);
}

void consumers::set_aside(consumer_number number, const delivery& d) {
    auto* c = find_usable(number);
    if (!c) return;
    const auto one = lease_of(d);
    c->started.erase(one);
    c->held.remove(one);
}

void consumers::extend(ticket operation, consumer_number number, const delivery& d) {
    auto* c = find_usable(number);
    if (!c || !c->started.contains(lease_of(d)))
        return talk_.complete(operation, {errc::lease_lost, "the message is not started, or not held any more"});
    if (c->state == phase::returning) return talk_.complete(operation, {errc::connection_lost, "the connection is being made again"});
    send_starts(number, *c);  // a lease that the broker does not know to be started cannot be extended
    const std::vector<wire::LeaseRange> range{wire::LeaseRange(d.sequence.value, d.sequence.value, d.partition, d.attempt)};
    const auto id = talk_.ask(recipient::request, wire::Message::Acked, operation, number_on_wire(number));
    talk_.send(id, wire::CreateExtendDirect(talk_.builder, number_on_wire(number), &range));
}

void consumers::stop(consumer_number number) {
    auto* c = find_usable(number);
    if (!c) return;
    c->stopped = true;
    std::vector<lease> unstarted;
    c->held.for_each([&](const lease& one) {
        if (!c->started.contains(one)) unstarted.push_back(one);
    });
    for (const auto& one : unstarted) {
        c->held.remove(one);
        c->gathered(hand_in::release, {}).add(one.partition, one.attempt, one.at);
    }
}

void consumers::settle(ticket operation, consumer_number number) {
    auto* c = find(number);
    if (!c) return talk_.complete(operation, {errc::no_such_consumer, "the consumer is closed"});
    if (c->has_gathered()) return c->waiting.push_back(operation);
    if (!c->flights.empty()) return c->flights.back().waiting.push_back(operation);
    report(*c, {operation});
}

void consumers::end_turn() {
    for (auto& [number, c] : consumers_) {
        if (c.state != phase::open) continue;
        send_starts(number, c);
        if (c.flights.size() < flights_max) send_gathered(number, c);
        if (c.may_give()) send_credit(number, c);
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
    const credit came{static_cast<std::int64_t>(sizes.size()), std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0})};
    if (came.messages > c->given.messages)
        return {errc::credit_exceeded, "the broker delivered " + std::to_string(came.messages) + " messages on a credit of " +
                                           std::to_string(c->given.messages)};
    c->given = c->given - came;
    if (arrived.deliveries.empty()) return {};
    for (auto& d : arrived.deliveries) d.connection = talk_.connection;
    auto next = sizes.cbegin();
    for (const auto* run : *message->runs()) {
        if (run->count() == 0) continue;
        const auto end = next + run->count();
        c->held.add({run->partition(), run->attempt(), {run->first()}, talk_.connection}, {next, end});
        next = end;
    }
    if (c->stopped) return stop(arrived.consumer), error{};
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
    if (c && c->state == phase::returning) {
        if (!refused) return welcome_back(number, *c, std::get<subscribed>(content).lost);
        talk_.events.emplace_back(consumer_ended{number, refused});
        return end(number, *c, refused);
    }
    if (c && refused) end(number, *c, refused);
    if (c && !refused && c->state == phase::opening) c->state = phase::open;
    if (!asked.given_up) talk_.complete(asked.operation, refused, std::move(content));
    if (!c || refused) return;
    // Nobody knows of it any more, or nobody is to use it: it must not keep leases.
    if (c->close_when_open && !asked.given_up) talk_.events.emplace_back(consumer_ended{number, connection_closes()});
    if (c->close_when_open || asked.given_up) unsubscribe(no_ticket, number, *c);
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
    for (auto& f : c->flights) {
        if (f.id != id) continue;
        f.answered = true;
        f.refused = refused;
        if (auto* settled = std::get_if<settlement>(&content)) f.lost = std::move(settled->lost);
    }
    take_answered(number, *c);
}

/// Whoever waits for a flight waits for all before it, and is told of these and no others.
void consumers::take_answered(consumer_number number, consumer& c) {
    while (!c.flights.empty() && c.flights.front().answered) {
        const auto& f = c.flights.front();
        c.note(f.refused, f.lost);
        report(c, f.waiting);
        c.flights.pop_front();
    }
    forget_if_done(number, c);
}

void consumers::give_up(std::uint64_t id, const waiting_request& asked, const error& refused) {
    if (asked.taker != recipient::ack) return talk_.complete(asked.operation, refused);
    auto* c = find(consumer_number{asked.subject});
    if (!c) return;
    for (auto& f : c->flights) {
        if (f.id != id) continue;
        for (const auto operation : std::exchange(f.waiting, {})) talk_.complete(operation, refused);
    }
}

// ---- the connection goes and comes back ------------------------------------------------------------------------------------

/// What has arrived and was not taken yet is nobody's any more.
void consumers::interrupt(const error& reason) {
    std::erase_if(talk_.events, [](const event& e) { return std::holds_alternative<delivered>(e); });
    for (auto it = consumers_.begin(); it != consumers_.end();) {
        auto& [number, c] = *it;
        if (c.is_usable()) {
            make_return(number, c);
            ++it;
            continue;
        }
        // Their sessions are gone, and with them everything they held; whoever opens or closes them is told by the request.
        for (auto& f : c.flights)
            for (const auto operation : f.waiting) talk_.complete(operation, reason);
        for (const auto operation : c.waiting) talk_.complete(operation, reason);
        it = consumers_.erase(it);
    }
}

void consumers::make_return(consumer_number number, consumer& c) {
    if (c.state == phase::open) talk_.events.emplace_back(consumer_interrupted{number});
    c.state = phase::returning;
    std::vector<ticket> waiting;
    for (auto& f : std::exchange(c.flights, {})) {
        waiting.insert(waiting.end(), f.waiting.begin(), f.waiting.end());
        if (f.answered)
            c.note(f.refused, f.lost);
        else
            for (const auto& r : f.ranges) c.gathered(f.how, f.reason).add(r);
    }
    c.waiting.insert(c.waiting.begin(), waiting.begin(), waiting.end());
    c.to_start.clear();
    c.given = {};
    held_leases kept;
    for (const auto& one : c.started) kept.add(one, {c.held.size_of(one)});
    c.held = std::move(kept);
}

void consumers::resume() {
    for (auto& [number, c] : consumers_) {
        if (c.state != phase::returning) continue;
        lease_ranges presented;
        for (const auto& one : c.started) presented.add(one.partition, one.attempt, one.at);
        for (const auto& r : c.acks.all()) presented.add(r);
        for (const auto& [how, ranges] : c.others)
            for (const auto& r : ranges.all()) presented.add(r);
        c.given = c.stopped ? credit{} : (c.window - c.held.total()).at_least_none();
        const auto id = talk_.ask(recipient::subscribe, wire::Message::Subscribed, no_ticket, number_on_wire(number));
        subscribe(id, number, c, presented.take(ranges_per_frame_max));
    }
}

/// What was handed in and is lost either arrived before the connection went, or somebody else has it: it is reported, not sent again.
void consumers::welcome_back(consumer_number number, consumer& c, const std::vector<lost_range>& lost) {
    c.state = phase::open;
    leases_lost gone{number, {}};
    for (const auto& l : lost) {
        const lease_range range{l.partition, l.attempt, l.first, l.last};
        bool handed_in = c.acks.remove(range);
        for (auto it = c.others.begin(); it != c.others.end();) {
            handed_in |= it->second.remove(range);
            it = it->second.empty() ? c.others.erase(it) : std::next(it);
        }
        if (handed_in) c.note({}, {l});
        const auto from = c.started.lower_bound({l.partition, l.attempt, l.first, 0});
        auto to = from;
        for (; to != c.started.end() && *to < lease{l.partition, l.attempt, l.last + 1, 0}; ++to) c.held.remove(*to);
        if (from != to) gone.ranges.push_back(l);
        c.started.erase(from, to);
    }
    if (!gone.ranges.empty()) talk_.events.emplace_back(std::move(gone));
    if (!c.has_gathered()) report(c, std::exchange(c.waiting, {}));
    if (c.close_when_open) unsubscribe(*std::exchange(c.close_when_open, {}), number, c);
}

void consumers::fail_all(const error& reason) {
    for (auto& [number, c] : consumers_) {
        for (auto& f : c.flights)
            for (const auto operation : f.waiting) talk_.complete(operation, reason);
        for (const auto operation : c.waiting) talk_.complete(operation, reason);
        if (c.close_when_open) talk_.complete(*c.close_when_open, reason);
        if (c.is_usable()) talk_.events.emplace_back(consumer_ended{number, reason});
    }
    consumers_.clear();
}

bool consumers::idle() const noexcept {
    return std::all_of(consumers_.begin(), consumers_.end(), [](const auto& entry) {
        return !entry.second.has_gathered() && entry.second.flights.empty() && entry.second.waiting.empty();
    });
}

bool consumers::has_something_to_return_for() const noexcept {
    return std::any_of(consumers_.begin(), consumers_.end(), [](const auto& entry) { return !entry.second.started.empty() || entry.second.has_gathered(); });
}

consumers::consumer* consumers::find(consumer_number number) {
    const auto found = consumers_.find(number);
    return found == consumers_.end() ? nullptr : &found->second;
}

consumers::consumer* consumers::find_usable(consumer_number number) {
    auto* c = find(number);
    return c && c->is_usable() ? c : nullptr;
}

/// When what can be given is as much as the broker has left: then it never waits for credit while a good part of the window is free, however long the rest is
/// held, and most messages cause no frame.
bool consumers::consumer::may_give() const noexcept {
    const auto is_due = [](std::int64_t more, std::int64_t left, std::int64_t all) { return more > std::max(-left, std::int64_t{0}) && more >= left && more >= all / 8; };
    const auto more = to_give();
    return !stopped && (is_due(more.messages, given.messages, window.messages) || is_due(more.bytes, given.bytes, window.bytes));
}

/// What was handed in within the turn need not be started any more.
void consumers::send_starts(consumer_number number, consumer& c) {
    lease_ranges ranges;
    for (const auto& one : c.to_start)
        if (c.started.contains(one)) ranges.add(one.partition, one.attempt, one.at);
    c.to_start.clear();
    while (!ranges.empty()) {
        const auto some = on_wire(ranges.take(ranges_per_frame_max));
        talk_.send(0, wire::CreateStartDirect(talk_.builder, number_on_wire(number), &some));
    }
}

void consumers::send_gathered(consumer_number number, consumer& c) {
    send_ranges(number, c, hand_in::ack, {}, c.acks);
    for (std::size_t i = 0; i < reasons_max && !c.others.empty(); ++i) {
        auto next = c.others.extract(c.others.begin());
        send_ranges(number, c, next.key().first, next.key().second, next.mapped());
    }
    if (c.waiting.empty() || c.flights.empty() || c.has_gathered()) return;
    auto& waiting = c.flights.back().waiting;
    waiting.insert(waiting.end(), c.waiting.begin(), c.waiting.end());
    c.waiting.clear();
}

void consumers::send_ranges(consumer_number number, consumer& c, hand_in how, const std::string& reason, lease_ranges& gathered) {
    auto& b = talk_.builder;
    const auto to = number_on_wire(number);
    while (!gathered.empty()) {
        auto taken = gathered.take(ranges_per_frame_max);
        const auto ranges = on_wire(taken);
        const auto id = talk_.ask(recipient::ack, wire::Message::Acked, no_ticket, to);
        switch (how) {
            case hand_in::ack: talk_.send(id, wire::CreateAckDirect(b, to, &ranges)); break;
            case hand_in::nack: talk_.send(id, wire::CreateNackDirect(b, to, &ranges, reason.c_str())); break;
            case hand_in::reject: talk_.send(id, wire::CreateRejectDirect(b, to, &ranges, reason.c_str())); break;
            case hand_in::release: talk_.send(id, wire::CreateReleaseDirect(b, to, &ranges)); break;
        }
        c.flights.push_back({id, how, reason, std::move(taken)});
    }
}

void consumers::send_credit(consumer_number number, consumer& c) {
    const auto more = c.to_give().at_least_none();
    c.given = {c.given.messages + more.messages, c.given.bytes + more.bytes};
    talk_.send(0, wire::CreateCredit(talk_.builder, number_on_wire(number), static_cast<std::uint32_t>(more.messages), static_cast<std::uint64_t>(more.bytes)));
}

void consumers::unsubscribe(ticket operation, consumer_number number, consumer& c) {
    while (c.has_gathered()) send_gathered(number, c);
    c.state = phase::closing;
    const auto id = talk_.ask(recipient::unsubscribe, wire::Message::Ok, operation, number_on_wire(number));
    talk_.send(id, wire::CreateUnsubscribe(talk_.builder, number_on_wire(number)));
}

/// Nothing can be handed in any more; those under way keep their answers.
void consumers::end(consumer_number number, consumer& c, const error& reason) {
    c.state = phase::gone;
    c.acks = {};
    c.others.clear();
    if (c.close_when_open) talk_.complete(*std::exchange(c.close_when_open, {}), reason);
    for (const auto operation : std::exchange(c.waiting, {})) talk_.complete(operation, reason);
    forget_if_done(number, c);
}

void consumers::consumer::note(const error& refusal, const std::vector<lost_range>& gone) {
    if (refusal && !refused) refused = refusal;
    for (const auto& one : gone) {
        auto* last = lost.empty() ? nullptr : &lost.back();
        if (last && last->partition == one.partition && last->attempt == one.attempt && last->last + 1 == one.first)
            last->last = one.last;
        else if (lost.size() < lost_ranges_max)
            lost.push_back(one);
    }
}

/// Tells those who wait what became of what was handed in; what they were told is told.
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
