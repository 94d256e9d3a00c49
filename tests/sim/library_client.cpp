#include "tests/sim/library_client.hpp"

#include <algorithm>
#include <type_traits>

namespace millrace::sim {

using namespace std::chrono_literals;

void library_client::connect() {
    if (!around_.broker.is_up()) return;
    ++life_;
    wire_ = std::make_shared<connection>(around_.events, around_.random, around_.weather);
    client::machine_settings settings;
    settings.name = "library-" + std::to_string(number_);
    settings.publishing.linger = std::chrono::milliseconds{around_.random.below(3)};
    machine_ = std::make_unique<client::machine>(settings);
    wire_->attach(side::client, {[this](std::span<const std::byte> bytes) {
                                     const auto here = machine_.get();
                                     while (!bytes.empty() && machine_.get() == here) {
                                         const auto room = machine_->read_buffer();
                                         const auto count = std::min(room.size(), bytes.size());
                                         std::copy_n(bytes.begin(), count, room.begin());
                                         machine_->received(moment_now(), count);
                                         bytes = bytes.subspan(count);
                                         turn();
                                     }
                                 },
                                 [this] {
                                     machine_->lost({});
                                     turn();
                                 },
                                 {}});
    around_.broker.accept(wire_);
    machine_->connected(moment_now());
    turn();
}

void library_client::cut() {
    if (!wire_) return;
    if (session_ != session_key{}) around_.judge.session_lost(around_.now(), session_);
    wire_->cut();
}

void library_client::drop() {
    if (session_ != session_key{}) around_.judge.session_lost(around_.now(), session_);
    wire_->shut(side::client);
    wire_.reset();
    machine_.reset();
    session_ = {};
    publishing_.clear();
    asked_.clear();
    consumers_.clear();
    armed_.reset();
    ++life_;
}

void library_client::turn() {
    std::vector<client::event> events;
    machine_->take_events(events);
    auto over = false;
    for (auto& e : events) {
        std::visit(
            [&](auto& content) {
                using kind = std::decay_t<decltype(content)>;
                if constexpr (std::is_same_v<kind, client::published>) note(content);
                if constexpr (std::is_same_v<kind, client::delivered>) note(content);
                if constexpr (std::is_same_v<kind, client::completed>) {
                    const auto asked = asked_.extract(content.operation);
                    if (asked.empty()) throw violation("the library completed an operation twice");
                    asked.mapped()(content);
                }
                if constexpr (std::is_same_v<kind, client::consumer_ended>) consumers_.erase(content.consumer);
                if constexpr (std::is_same_v<kind, client::welcomed>) session_ = session_key{content.broker.session};
                if constexpr (std::is_same_v<kind, client::ended>) {
                    over = true;
                    const auto code = content.reason.code;
                    if (code == errc::malformed_frame || code == errc::credit_exceeded || code == errc::malformed_record || code == errc::checksum_mismatch)
                        throw violation("the library ended the connection: " + to_string(content.reason));
                }
            },
            e);
    }
    if (over) return drop();
    machine_->end_turn();
    if (machine_->has_events()) return turn();
    client::outgoing out;
    machine_->take_output(out);
    if (!out.empty()) {
        std::vector<std::byte> bytes;
        out.gather([&](std::span<const std::byte> piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
        wire_->send(side::client, std::move(bytes));
    }
    arm();
}

void library_client::arm() {
    const auto due = machine_->next_deadline();
    if (due == armed_ || due == client::never) return;
    armed_ = due;
    const auto when = timestamp(std::chrono::ceil<std::chrono::microseconds>(due.time_since_epoch()));
    around_.events.at(when, [this, life = life_, due] {
        if (life != life_ || armed_ != due) return;
        armed_.reset();
        machine_->time_passed(moment_now());
        turn();
    });
}

void library_client::act() {
    if (!machine_) {
        if (around_.settling || around_.random.chance(300)) connect();
        return;
    }
    if (session_ == session_key{}) return;
    machine_->time_passed(moment_now());
    const auto what = around_.random.below(12);
    if (!around_.settling && what < 4)
        publish();
    else if (!around_.settling && what == 4 && consumers_.size() < 3 && around_.random.chance(300))
        subscribe();
    else if (!around_.settling && what == 5 && !consumers_.empty() && around_.random.chance(20)) {
        const auto number = consumers_.begin()->first;
        if (consumers_.begin()->second.open) {
            around_.judge.closed(consumers_.begin()->second.who);
            consumers_.erase(consumers_.begin());
            const client::ticket closing{++last_ticket_};
            asked_[closing] = [](const client::completed&) {};
            machine_->unsubscribe(closing, number);
        }
    } else
        for (auto& [number, c] : consumers_)
            if (c.open && !c.held.empty()) ack_some(number, c);
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
        const client::ticket operation{++last_ticket_};
        publishing_[operation] = {it->first, number};
        millrace::message m;
        m.payload = checker::payload_of(number, bytes);
        if (around_.random.chance(300)) m.key = std::to_string(around_.random.below(50));
        machine_->publish(operation, it->first, std::move(m), {});
    }
}

void library_client::note(client::published& e) {
    auto at = e.first;
    for (const auto operation : e.operations) {
        const auto done = publishing_.extract(operation);
        if (done.empty()) throw violation("the library answered a publish twice");
        const auto topic = around_.known.topics.find(done.mapped().topic);
        if (!e.refused && topic != around_.known.topics.end() && topic->second.stays)
            around_.judge.publish_answered(topic->second.id, e.partition, at, {done.mapped().number});
        ++at;
    }
}

void library_client::subscribe() {
    std::vector<known_subscription> fit;
    for (const auto& s : around_.known.subscriptions) {
        const auto topic = around_.known.topics.find(s.topic);
        if (topic != around_.known.topics.end() && topic->second.library && topic->second.stays) fit.push_back(s);
    }
    if (fit.empty()) return;
    const auto& to = around_.random.pick(fit);
    client::subscribe_options options;
    options.credit_messages = 1 + static_cast<std::uint32_t>(around_.random.below(50));
    options.credit_bytes = around_.random.chance(300) ? around_.random.below(2000) : 1'000'000;
    const client::ticket opening{++last_ticket_};
    const auto number = machine_->subscribe(opening, to.topic, to.name, options);
    consumers_[number] = {{session_, static_cast<std::uint32_t>(number), to.id, 0}, to.topic, false, {}, {}, false};
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

void library_client::note(client::delivered& e) {
    const auto it = consumers_.find(e.consumer);
    if (it == consumers_.end()) return;
    for (auto& d : e.deliveries) {
        around_.judge.delivered(around_.now(), it->second.who, {d.partition, d.sequence, d.attempt, d.message.payload});
        it->second.held.push_back(std::move(d));
    }
}

void library_client::ack_some(client::consumer_number number, consumer& c) {
    auto count = around_.settling || around_.random.chance(100) ? c.held.size() : around_.random.below(c.held.size() + 1);
    while (count-- > 0) {
        const auto which = around_.random.below(c.held.size());
        const auto& d = c.held[which];
        const token_range one{d.partition, d.sequence, d.sequence, d.attempt};
        c.acked.push_back(around_.judge.hand_in_sent(around_.now(), c.who, hand_in::ack, {one}));
        machine_->ack(number, d);
        std::swap(c.held[which], c.held.back());
        c.held.pop_back();
    }
    if (c.settling || c.acked.empty()) return;
    c.settling = true;
    const client::ticket operation{++last_ticket_};
    asked_[operation] = [this, number, keys = std::exchange(c.acked, {})](const client::completed& e) { settled(number, keys, e); };
    machine_->settle(operation, number);
}

void library_client::settled(client::consumer_number number, const std::vector<hand_in_key>& keys, const client::completed& e) {
    std::vector<token_range> lost;
    const auto* answer = std::get_if<client::settlement>(&e.content);
    if (answer)
        for (const auto& r : answer->lost) lost.push_back({r.partition, r.first, r.last, r.attempt});
    for (const auto key : keys) {
        if (e.refused || !answer)
            around_.judge.hand_in_unanswered(key);
        else
            around_.judge.hand_in_answered(around_.now(), key, lost);
    }
    const auto it = consumers_.find(number);
    if (it != consumers_.end()) it->second.settling = false;
}

}  // namespace millrace::sim
