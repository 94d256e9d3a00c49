#include "tests/sim/library_client.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace std::chrono_literals;

namespace {

token_range token_of(const client::delivery& d) { return {d.partition, d.sequence, d.sequence, d.attempt}; }

bool covers(const std::vector<client::lost_range>& ranges, const client::delivery& d) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const auto& r) {
        return r.partition == d.partition && r.attempt == d.attempt && r.first <= d.sequence && d.sequence <= r.last;
    });
}

}  // namespace

library_client::library_client(surroundings& around, std::uint64_t number) : around_(around), number_(number) {
    if (around_.random.chance(600)) producer_ = around_.random.chance(600) ? "till" : "desk";  // a name belongs to one at a time, and two may claim it
    if (around_.clocks_differ) clocks_.drift_in_1000 = static_cast<std::int64_t>(around_.random.below(41)) - 20;
    returns_ = around_.random.chance(is_named() ? 850 : 600);
}

// ---- its connection ----

/// A process starts: it knows nothing of an earlier one.
void library_client::begin() {
    if (!around_.broker.is_up()) return;
    ++life_;
    client::machine_settings settings;
    settings.name = "library-" + std::to_string(number_);
    settings.publishing.linger = std::chrono::milliseconds{around_.random.below(3)};
    settings.publishing.producer = producer_;
    settings.incarnation = around_.random.next();
    settings.reconnects = returns_;
    settings.resends = around_.random.chance(900);
    machine_ = std::make_unique<client::machine>(settings);
    if (is_named()) incarnation_ = around_.judge.producers().begins(producer_);
    connect();
}

void library_client::connect() {
    wire_ = std::make_shared<connection>(around_.events, around_.random, around_.weather);
    wire_->attach(side::client, {[this](std::span<const std::byte> bytes) { received(bytes); },
                                 [this] {
                                     machine_->time_passed(moment_now());
                                     machine_->lost({});
                                     turn();
                                 },
                                 {}});
    around_.broker.accept(wire_);
    if (is_named() && !fenced_) around_.judge.producers().opening_sent(incarnation_);
    machine_->connected(moment_now());
    turn();
}

void library_client::cut() {
    if (!wire_) return;
    if (session_ != session_key{}) around_.judge.session_lost(around_.now(), session_);
    wire_->cut();
}

/// The machine goes on without it, for now or for good.
void library_client::leave_connection() {
    if (session_ != session_key{}) around_.judge.session_lost(around_.now(), session_);
    session_ = {};
    if (wire_) wire_->shut(side::client);
    wire_.reset();
}

void library_client::end() {
    leave_connection();
    machine_.reset();
    fenced_ = false;
    publishing_.clear();
    asked_.clear();
    consumers_.clear();
    armed_.reset();
    ++life_;
}

void library_client::received(std::span<const std::byte> bytes) {
    const auto here = wire_;
    while (!bytes.empty() && wire_ == here) {
        const auto room = machine_->read_buffer();
        const auto count = std::min(room.size(), bytes.size());
        std::copy_n(bytes.begin(), count, room.begin());
        machine_->received(moment_now(), count);
        bytes = bytes.subspan(count);
        turn();
    }
}

void library_client::turn() {
    std::vector<client::event> events;
    machine_->take_events(events);
    for (auto& e : events) std::visit([&](auto& content) { note(content); }, e);
    if (machine_->is_over()) return end();
    machine_->end_turn();
    if (machine_->has_events()) return turn();
    if (wire_ && !machine_->is_connected()) {
        leave_connection();
        connect_at_ = around_.now() + std::chrono::duration_cast<std::chrono::microseconds>(machine_->next_pause());
    }
    if (wire_) send();
    arm();
}

void library_client::send() {
    client::outgoing out;
    machine_->take_output(out);
    if (out.empty()) return;
    std::vector<std::byte> bytes;
    out.gather([&](std::span<const std::byte> piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
    wire_->send(side::client, std::move(bytes));
}

void library_client::arm() {
    const auto due = machine_->next_deadline();
    if (due == armed_ || due == client::never) return;
    armed_ = due;
    const auto wait = std::max(0us, std::chrono::ceil<std::chrono::microseconds>(due - moment_now()));
    around_.events.after(clocks_.until(wait), [this, life = life_, due] {
        if (life != life_ || armed_ != due) return;
        armed_.reset();
        machine_->time_passed(moment_now());
        turn();
    });
}

// ---- what comes out of the machine ----

void library_client::note(client::welcomed& e) {
    session_ = session_key{e.broker.session};
    if (is_named() && e.broker.producer_epoch == 0) {
        if (!fenced_) around_.judge.producers().fenced(incarnation_);
        fenced_ = true;
    } else if (is_named()) {
        std::vector<producer_rules::position> told;
        for (const auto& p : e.broker.producer_positions) told.push_back({p.topic, p.partition, p.batch});
        around_.judge.producers().opening_answered(incarnation_, e.broker.producer_epoch, told);
    }
    // What consumers return with: they show it now, and hand it in again.
    for (auto& [number, c] : consumers_) {
        c.who.session = session_;
        std::vector<token_range> shown;
        for (const auto& h : c.held)
            if (!h.given_to) shown.push_back(token_of(h.what));
        for (auto* acks : {&c.acked, &c.settling})
            for (auto& a : *acks) {
                if (a.was_gone) continue;
                shown.push_back(a.what);
                a.key = around_.judge.hand_in_sent(around_.now(), c.who, hand_in::ack, {a.what});
            }
        around_.judge.adoption_sent(c.who, shown);
    }
}

void library_client::note(client::ended& e) {
    const auto code = e.reason.code;
    if (code == errc::malformed_frame || code == errc::credit_exceeded || code == errc::malformed_record || code == errc::checksum_mismatch)
        throw violation("the library ended the connection: " + to_string(e.reason));
}

void library_client::note(client::completed& e) {
    const auto asked = asked_.extract(e.operation);
    if (asked.empty()) throw violation("the library completed an operation twice");
    asked.mapped()(e);
}

void library_client::note(client::published& e) {
    auto& producers = around_.judge.producers();
    if (e.refused.code == errc::batch_mismatch) throw violation("the library sent other messages under a number: " + to_string(e.refused));
    if (e.refused.code == errc::producer_fenced) {
        if (!fenced_) producers.fenced(incarnation_);
        fenced_ = true;
    }
    auto at = e.first;
    const known_topic* topic = nullptr;
    for (const auto operation : e.operations) {
        const auto done = publishing_.extract(operation);
        if (done.empty()) throw violation("the library answered a publish twice");
        const auto found = around_.known.topics.find(done.mapped().topic);
        topic = !e.refused && found != around_.known.topics.end() && found->second.stays ? &found->second : nullptr;
        if (topic) around_.judge.publish_answered(topic->id, e.partition, at, {done.mapped().number});
        ++at;
    }
    if (topic && e.batch != 0) producers.answered(incarnation_, {topic->id, e.partition, e.batch}, e.first, e.operations.size());
}

void library_client::note(client::delivered& e) {
    const auto it = consumers_.find(e.consumer);
    if (it == consumers_.end()) return;
    for (auto& d : e.deliveries) {
        around_.judge.delivered(around_.now(), it->second.who, {d.partition, d.sequence, d.attempt, d.message.payload});
        it->second.held.push_back({std::move(d)});
    }
}

void library_client::note(client::consumer_interrupted& e) {
    const auto it = consumers_.find(e.consumer);
    if (it == consumers_.end()) return;
    auto& c = it->second;
    std::erase_if(c.held, [this](const held_delivery& h) { return !h.started && around_.random.chance(500); });
    for (auto& h : c.held)
        if (!h.started && !h.given_to) h.given_to = c.who;
}

void library_client::note(client::leases_lost& e) {
    const auto it = consumers_.find(e.consumer);
    if (it != consumers_.end()) std::erase_if(it->second.held, [&](const held_delivery& h) { return covers(e.ranges, h.what); });
}

void library_client::note(client::consumer_ended& e) { consumers_.erase(e.consumer); }

/// A settlement tells what was lost of everything so far. A broker that was restarted gives a token again: the one whose lease was gone is meant, or the earlier one.
void library_client::mark_lost(consumer& c, const token_range& one) {
    ack_under_way* meant = nullptr;
    for (auto* acks : {&c.settling, &c.acked})
        for (auto& a : *acks)
            if (!a.lost && a.what.partition == one.partition && a.what.attempt == one.attempt && a.what.first == one.first)
                if (!meant || (a.was_gone && !meant->was_gone)) meant = &a;
    if (meant) meant->lost = true;
}

void library_client::settled(client::consumer_number number, const client::completed& e) {
    const auto it = consumers_.find(number);
    if (it == consumers_.end()) return;
    auto& c = it->second;
    const auto* answer = std::get_if<client::settlement>(&e.content);
    if (answer)
        for (const auto& r : answer->lost)
            for (auto at = r.first; at <= r.last; ++at) mark_lost(c, {r.partition, at, at, r.attempt});
    for (const auto& a : std::exchange(c.settling, {})) {
        if (e.refused || !answer)
            around_.judge.hand_in_unanswered(a.key);
        else
            around_.judge.hand_in_answered(around_.now(), a.key, a.lost ? std::vector{a.what} : std::vector<token_range>{});
    }
}

// ---- what it does ----

void library_client::act() {
    if (!machine_) {
        if (around_.settling || around_.random.chance(300)) begin();
        return;
    }
    machine_->time_passed(moment_now());
    turn();
    if (machine_ && !wire_ && around_.now() >= connect_at_) {
        if (around_.broker.is_up())
            connect();
        else
            connect_at_ = around_.now() + std::chrono::duration_cast<std::chrono::microseconds>(machine_->next_pause());
    }
    if (!machine_ || (wire_ && session_ == session_key{})) return;
    if (!around_.settling && around_.random.chance(fenced_ ? 20 : 2)) return end();
    const auto what = around_.random.below(12);
    if (!around_.settling && what < 4)
        publish();
    else if (!around_.settling && what == 4 && consumers_.size() < 3 && around_.random.chance(300))
        subscribe();
    else if (!around_.settling && what == 5 && around_.random.chance(20))
        unsubscribe();
    else
        for (auto& [number, c] : consumers_) {
            if (!c.open) continue;
            if (around_.random.chance(300)) start_some(number, c);
            ack_some(number, c);
        }
    turn();
}

void library_client::publish() {
    auto it = around_.known.topics.begin();
    if (it == around_.known.topics.end()) return;
    std::advance(it, static_cast<std::ptrdiff_t>(around_.random.below(around_.known.topics.size())));
    if (!it->second.library) return;
    const auto count = around_.random.chance(5) ? around_.random.between(500, 3000) : around_.random.between(1, 15);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto bytes = count > 100 ? 3 : around_.random.below(around_.random.chance(20) ? 30'000 : 150);
        const auto number = around_.judge.publish(it->first, bytes);
        if (is_named()) around_.judge.producers().sent(incarnation_, number);
        const client::ticket operation{++last_ticket_};
        publishing_[operation] = {it->first, number};
        millrace::message m;
        m.payload = checker::payload_of(number, bytes);
        if (around_.random.chance(300)) m.key = std::to_string(around_.random.below(50));
        machine_->publish(operation, it->first, std::move(m), {});
    }
}

void library_client::subscribe() {
    std::vector<known_subscription> fit;
    for (const auto& s : around_.known.subscriptions) {
        const auto topic = around_.known.topics.find(s.topic);
        if (topic != around_.known.topics.end() && topic->second.library && topic->second.stays) fit.push_back(s);
    }
    if (fit.empty() || session_ == session_key{}) return;
    const auto& to = around_.random.pick(fit);
    client::subscribe_options options;
    options.credit_messages = 1 + static_cast<std::uint32_t>(around_.random.below(50));
    options.credit_bytes = around_.random.chance(300) ? around_.random.below(2000) : 1'000'000;
    const client::ticket opening{++last_ticket_};
    const auto number = machine_->subscribe(opening, to.topic, to.name, options);
    auto& c = consumers_[number];
    c.who = {session_, static_cast<std::uint32_t>(number), to.id, 0};
    asked_[opening] = [this, number](const client::completed& e) {
        const auto it = consumers_.find(number);
        if (it == consumers_.end()) return;
        const auto* answer = std::get_if<client::subscribed>(&e.content);
        if (e.refused || !answer) {
            consumers_.erase(it);
            return;
        }
        it->second.open = true;
        it->second.who.topic = answer->topic;
        it->second.who.subscription = answer->subscription;
        around_.judge.consumer_opened(it->second.who);
    };
}

void library_client::unsubscribe() {
    if (consumers_.empty() || !consumers_.begin()->second.open) return;
    const auto number = consumers_.begin()->first;
    auto& c = consumers_.begin()->second;
    c.open = false;
    c.held.clear();
    around_.judge.closed(c.who);
    const client::ticket closing{++last_ticket_};
    asked_[closing] = [this, number](const client::completed&) { consumers_.erase(number); };
    machine_->unsubscribe(closing, number);
}

void library_client::start_some(client::consumer_number number, consumer& c) {
    for (auto& h : c.held) {
        if (h.started || !around_.random.chance(300)) continue;
        h.started = machine_->start(number, h.what);
        if (h.started && h.given_to) throw violation("the library started what it was given in a session that is gone");
        if (h.started) around_.judge.start_sent(around_.now(), c.who, {token_of(h.what)});
    }
}

void library_client::ack_some(client::consumer_number number, consumer& c) {
    auto count = around_.settling || around_.random.chance(100) ? c.held.size() : around_.random.below(c.held.size() + 1);
    while (count-- > 0) {
        auto& which = c.held[around_.random.below(c.held.size())];
        const auto token = token_of(which.what);
        c.acked.push_back({around_.judge.hand_in_sent(around_.now(), which.given_to.value_or(c.who), hand_in::ack, {token}), token, which.given_to.has_value()});
        machine_->ack(number, which.what);
        std::swap(which, c.held.back());
        c.held.pop_back();
    }
    if (!c.settling.empty() || c.acked.empty()) return;
    c.settling = std::exchange(c.acked, {});
    const client::ticket operation{++last_ticket_};
    asked_[operation] = [this, number](const client::completed& e) { settled(number, e); };
    machine_->settle(operation, number);
}

}  // namespace millrace::sim
