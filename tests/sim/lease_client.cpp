#include "tests/sim/lease_client.hpp"

#include <algorithm>

#include "tests/sim/wrong_requests.hpp"

namespace millrace::sim {

using namespace std::chrono_literals;

namespace {

std::vector<wire::LeaseRange> on_wire(const std::vector<token_range>& ranges) {
    std::vector<wire::LeaseRange> out;
    for (const auto& r : ranges) out.emplace_back(r.first.value, r.last.value, r.partition, r.attempt);
    return out;
}

std::vector<token_range> from_wire(const flatbuffers::Vector<const wire::LeaseRange*>* ranges) {
    std::vector<token_range> out;
    if (ranges)
        for (const auto* r : *ranges) out.push_back({r->partition(), {r->first()}, {r->last()}, r->attempt()});
    return out;
}

bool covers(const std::vector<token_range>& ranges, std::uint32_t partition, sequence at) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const token_range& r) { return r.partition == partition && r.first <= at && at <= r.last; });
}

/// A refusal that a consumer must expect: its subscription or its consumer may be gone.
void expect(const wire::Failed& failed, std::initializer_list<errc> expected) {
    const auto code = static_cast<errc>(failed.code());
    if (std::find(expected.begin(), expected.end(), code) == expected.end())
        throw violation(std::string("refused: ") + name_of(code) + ": " + failed.what()->str());
}

}  // namespace

lease_client::lease_client(surroundings& around, std::uint64_t number)
    : around_(around),
      wire_(around, {[this] { welcomed(); }, [this](const proto::frame& f) { pushed(f); }, [this] { lost(); }}),
      number_(number),
      stingy_(around.random.chance(100)) {}

bool lease_client::is_idle() const {
    return kept_.empty() && std::all_of(consumers_.begin(), consumers_.end(), [](const auto& c) { return c.second.held.empty() && c.second.presented.empty(); });
}

lease_client::consumer* lease_client::find(std::uint32_t number) {
    const auto it = consumers_.find(number);
    return it == consumers_.end() ? nullptr : &it->second;
}

// ---- the connection ----

void lease_client::welcomed() {
    pinged_at_ = around_.now();
    for (auto& k : std::exchange(kept_, {}))
        if (around_.settling || around_.random.chance(850)) subscribe(k.of, std::move(k.tokens));
}

void lease_client::lost() {
    for (auto& [number, c] : consumers_) {
        kept_leases keep{c.of, std::move(c.presented)};
        for (const auto& [l, started] : c.held)
            if (started) keep.tokens.push_back({l.partition, l.at, l.at, l.attempt});
        if (!keep.tokens.empty() && !c.leaving) kept_.push_back(std::move(keep));
    }
    consumers_.clear();
}

void lease_client::pushed(const proto::frame& f) {
    if (const auto* message = f.head->message_as_Deliver()) return deliver(*message, f.body);
    auto* ended = find(f.head->message_as_ConsumerEnded()->consumer());
    if (!ended || ended->leaving) return;  // its number is free when the answer to Unsubscribe is here
    if (!ended->open) throw violation("a consumer was ended before its subscription was answered");
    consumers_.erase(f.head->message_as_ConsumerEnded()->consumer());
}

void lease_client::deliver(const wire::Deliver& message, std::span<const std::byte> body) {
    auto* c = find(message.consumer());
    for (const auto* run : *message.runs()) {
        for (std::uint32_t i = 0; i < run->count(); ++i) {
            const auto length = proto::record_length(body);
            std::optional<proto::dead_origin> died;
            millrace::message m;
            if (!length || proto::decode_record(body.first(*length), m, &died)) throw violation("a delivered record does not verify");
            body = body.subspan(*length);
            if (!c || c->leaving) continue;  // it was on its way when the consumer left
            if (!c->open) throw violation("a delivery before the subscription was answered");
            if (c->credit-- == 0) throw violation("a delivery beyond the credit");
            std::optional<dead_letter> origin;
            if (died) origin = dead_letter{died->topic, died->subscription, died->partition, died->at, died->failures};
            const sequence at{run->first() + i};
            around_.judge.delivered(around_.now(), c->who, {run->partition(), at, run->attempt(), std::move(m.payload)}, origin);
            c->held[{run->partition(), run->attempt(), at}] = false;
        }
    }
    if (!body.empty()) throw violation("a delivery with bytes left over");
}

// ---- what it does ----

void lease_client::act() {
    if (!wire_.is_open()) {
        if (around_.settling && number_ > settling_max) return;
        if (around_.settling || around_.random.chance(300)) wire_.connect();
        return;
    }
    if (!wire_.is_welcome()) return;
    if (around_.now() - pinged_at_ > 5s) {
        pinged_at_ = around_.now();
        wire_.tell([](auto& b) { return wire::CreatePing(b); });
    }
    if (around_.settling) return settle();
    if (around_.now() < silent_until_) return;
    if (around_.random.chance(2)) silent_until_ = around_.now() + around_.random.between(1s, 12s);
    if (around_.random.chance(1)) return wire_.leave();
    if (around_.random.chance(10)) return ask_wrongly(around_, wire_);
    if (consumers_.empty() || around_.random.chance(15)) return subscribe_somewhere();
    auto it = consumers_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(around_.random.below(consumers_.size())));
    const auto number = it->first;
    if (!it->second.open || it->second.leaving) return;
    switch (around_.random.below(20)) {
        case 0:
        case 1:
        case 2: return stingy_ && around_.random.chance(950) ? void() : give_credit(number);
        case 3:
        case 4:
        case 5: return start_some(number);
        case 6: return extend_some(number);
        case 7: return hand_in_some(number, hand_in::nack, false);
        case 8: return around_.random.chance(300) ? hand_in_some(number, hand_in::reject, false) : publish();
        case 9: return hand_in_some(number, hand_in::release, false);
        case 10:
        case 11: return publish();
        case 12: return around_.random.chance(100) ? unsubscribe(number) : peek();
        default: return hand_in_some(number, hand_in::ack, around_.random.chance(30));
    }
}

/// Acks everything there is. A few are enough for it.
void lease_client::settle() {
    if (number_ > settling_max) return wire_.leave();
    prove_publishing();
    for (const auto& s : around_.known.subscriptions) {
        const auto reads = std::any_of(consumers_.begin(), consumers_.end(), [&](const auto& c) { return c.second.of.id == s.id && !c.second.leaving; });
        if (!reads) subscribe(s, {});
    }
    for (auto& [number, c] : consumers_) {
        if (!c.open || c.leaving) continue;
        if (c.credit < 500) give_credit(number);
        if (!c.held.empty()) hand_in_some(number, hand_in::ack, true);
    }
}

void lease_client::subscribe_somewhere() {
    if (around_.known.subscriptions.empty() || consumers_.size() >= 4) return;
    subscribe(around_.random.pick(around_.known.subscriptions), {});
}

void lease_client::subscribe(const known_subscription& to, std::vector<token_range> tokens) {
    auto number = last_consumer_ + 1;
    if (around_.random.chance(500))  // the least number that is free
        for (number = 1; consumers_.contains(number);) ++number;
    last_consumer_ = std::max(last_consumer_, number);
    const auto messages = static_cast<std::uint32_t>(around_.settling ? 1000 : around_.random.below(60));
    const auto bytes = around_.settling ? 10'000'000 : around_.random.below(30'000);
    auto& c = consumers_[number];
    c.who = {wire_.session(), number, to.id, 0};
    c.of = to;
    c.credit = messages;
    c.presented = tokens;
    const auto sent = around_.now();
    around_.noted.note(sent, "subscribe session consumer subscription tokens", static_cast<std::uint64_t>(wire_.session()), number, to.id, tokens.size());
    around_.judge.adoption_sent(c.who, tokens);
    wire_.ask(
        [&](auto& b) {
            const auto held = on_wire(tokens);
            return wire::CreateSubscribeDirect(b, number, to.topic.c_str(), to.name.c_str(), messages, bytes, "", &held);
        },
        [this, number, sent, tokens](const proto::frame& f) {
            if (const auto* failed = f.head->message_as_Failed()) {
                expect(*failed, {errc::no_such_topic, errc::no_such_subscription});
                consumers_.erase(number);
                return;
            }
            auto& opened = consumers_.at(number);
            const auto& answer = *f.head->message_as_Subscribed();
            opened.open = true;
            opened.presented.clear();
            opened.who.topic = answer.topic();
            if (answer.subscription() != opened.of.id) {  // deleted and made again: what it held means nothing there
                opened.who.subscription = opened.of.id = answer.subscription();
                if (!tokens.empty()) return unsubscribe(number);
            }
            around_.judge.consumer_opened(opened.who);
            const auto gone = from_wire(answer.lost());
            around_.judge.adopted(sent, around_.now(), opened.who, tokens, gone);
            for (const auto& t : tokens)
                if (!covers(gone, t.partition, t.first)) opened.held[{t.partition, t.attempt, t.first}] = true;
        });
}

void lease_client::unsubscribe(std::uint32_t number) {
    auto& c = consumers_.at(number);
    c.leaving = true;
    around_.judge.closed(c.who);
    wire_.ask([&](auto& b) { return wire::CreateUnsubscribe(b, number); },
              [this, number](const proto::frame& f) {
                  if (const auto* failed = f.head->message_as_Failed()) expect(*failed, {errc::no_such_consumer});
                  consumers_.erase(number);
              });
}

void lease_client::give_credit(std::uint32_t number) {
    auto& c = consumers_.at(number);
    const auto messages = static_cast<std::uint32_t>(around_.settling ? 2000 : 1 + around_.random.below(40));
    const auto bytes = around_.settling ? 20'000'000 : around_.random.below(20'000);
    c.credit += messages;
    wire_.tell([&](auto& b) { return wire::CreateCredit(b, number, messages, bytes); });
}

std::vector<token_range> lease_client::some_leases(const consumer& c, bool started) {
    if (c.held.empty()) return {};
    auto it = c.held.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(around_.random.below(std::min<std::size_t>(c.held.size(), 64))));
    if (it->second != started) return {};
    token_range r{it->first.partition, it->first.at, it->first.at, it->first.attempt};
    const auto most = around_.random.chance(100) ? 100'000 : around_.random.below(12);
    for (++it; it != c.held.end() && it->second == started && r.last - r.first < most; ++it) {
        if (it->first.partition != r.partition || it->first.attempt != r.attempt || it->first.at != r.last + 1) break;
        r.last = it->first.at;
    }
    return {r};
}

void lease_client::start_some(std::uint32_t number) {
    auto& c = consumers_.at(number);
    const auto ranges = some_leases(c, false);
    if (ranges.empty()) return;
    around_.judge.start_sent(around_.now(), c.who, ranges);
    around_.noted.note(around_.now(), "start session consumer partition first last attempt", static_cast<std::uint64_t>(c.who.session), number,
                       ranges[0].partition, ranges[0].first.value, ranges[0].last.value, ranges[0].attempt);
    for (const auto& r : ranges)
        for (auto at = r.first; at <= r.last; ++at) c.held[{r.partition, r.attempt, at}] = true;
    wire_.tell([&](auto& b) {
        const auto list = on_wire(ranges);
        return wire::CreateStartDirect(b, number, &list);
    });
}

void lease_client::extend_some(std::uint32_t number) {
    auto& c = consumers_.at(number);
    const auto ranges = some_leases(c, true);
    if (ranges.empty()) return;
    const auto sent = around_.now();
    around_.noted.note(sent, "extend session consumer partition first last attempt", static_cast<std::uint64_t>(c.who.session), number,
                       ranges[0].partition, ranges[0].first.value, ranges[0].last.value, ranges[0].attempt);
    wire_.ask(
        [&](auto& b) {
            const auto list = on_wire(ranges);
            return wire::CreateExtendDirect(b, number, &list);
        },
        [this, number, ranges, sent, who = c.who](const proto::frame& f) {
            if (const auto* failed = f.head->message_as_Failed()) return expect(*failed, {errc::no_such_consumer});
            auto* extended = find(number);
            if (!extended || extended->who.subscription != who.subscription) return;
            const auto gone = from_wire(f.head->message_as_Acked()->lost());
            auto not_extended = from_wire(f.head->message_as_Acked()->limited());
            not_extended.insert(not_extended.end(), gone.begin(), gone.end());
            around_.judge.extend_answered(sent, extended->who, ranges, not_extended);
            std::erase_if(extended->held, [&](const auto& h) { return h.second && covers(gone, h.first.partition, h.first.at); });
        });
}

void lease_client::hand_in_some(std::uint32_t number, hand_in how, bool everything) {
    auto& c = consumers_.at(number);
    std::vector<token_range> ranges;
    if (everything)
        for (const auto& [l, started] : c.held) ranges.push_back({l.partition, l.at, l.at, l.attempt});
    else
        ranges = some_leases(c, around_.random.chance(600));
    if (ranges.empty()) return;
    for (const auto& r : ranges)
        for (auto at = r.first; at <= r.last; ++at) c.held.erase({r.partition, r.attempt, at});
    const auto key = around_.judge.hand_in_sent(around_.now(), c.who, how, ranges);
    around_.noted.note(around_.now(), "hand-in session consumer how partition first last attempt", static_cast<std::uint64_t>(c.who.session), number,
                       static_cast<int>(how), ranges[0].partition, ranges[0].first.value, ranges[0].last.value, ranges[0].attempt);
    const auto answered = [this, key](const proto::frame& f) {
        if (const auto* failed = f.head->message_as_Failed()) {
            expect(*failed, {errc::no_such_consumer});
            return around_.judge.hand_in_unanswered(key);
        }
        around_.judge.hand_in_answered(around_.now(), key, from_wire(f.head->message_as_Acked()->lost()));
    };
    const auto list = on_wire(ranges);
    switch (how) {
        case hand_in::ack: return wire_.ask([&](auto& b) { return wire::CreateAckDirect(b, number, &list); }, answered);
        case hand_in::nack: return wire_.ask([&](auto& b) { return wire::CreateNackDirect(b, number, &list, "it failed"); }, answered);
        case hand_in::reject: return wire_.ask([&](auto& b) { return wire::CreateRejectDirect(b, number, &list, "it cannot be done"); }, answered);
        case hand_in::release: return wire_.ask([&](auto& b) { return wire::CreateReleaseDirect(b, number, &list); }, answered);
    }
}

void lease_client::publish() {
    auto& random = around_.random;
    if (around_.known.topics.empty()) return;
    auto it = around_.known.topics.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(random.below(around_.known.topics.size())));
    if (it->second.library) publish(it->first, it->second);  // dead letters are published by the broker
}

/// When the faults are over and the broker has had time to see it, whoever publishes is answered.
void lease_client::prove_publishing() {
    const auto topic = around_.known.topics.find("orders");
    if (proven_ || topic == around_.known.topics.end() || around_.now() - around_.settling_since < 3s) return;
    proven_ = true;
    publish(topic->first, topic->second);
}

void lease_client::publish(const std::string& name, const known_topic& topic) {
    auto& random = around_.random;
    const auto partition = static_cast<std::uint32_t>(random.below(topic.partitions));
    const auto many = random.chance(4);
    const auto count = many ? random.between(3000, 4096) : random.between(1, random.chance(100) ? 200 : 20);
    std::vector<message_number> numbers;
    std::vector<std::byte> records;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto bytes = many ? 4 : random.chance(20) ? random.below(20'000) : random.below(200);
        numbers.push_back(around_.judge.publish(name, bytes));
        millrace::message m;
        m.payload = checker::payload_of(numbers.back(), bytes);
        encoder_.append(m, random.chance(200) ? proto::compression::lz4 : proto::compression::none, records);
    }
    around_.noted.note(around_.now(), "publish session topic partition count first-number", static_cast<std::uint64_t>(wire_.session()), topic.id, partition,
                       count, static_cast<std::uint64_t>(numbers.front()));
    wire_.ask_with(
        records, [&](auto& b) { return wire::CreatePublish(b, topic.id, partition, static_cast<std::uint32_t>(count)); },
        [this, id = topic.id, partition, numbers, sent = around_.now()](const proto::frame& f) {
            if (const auto* failed = f.head->message_as_Failed()) {
                for (const auto n : numbers) around_.judge.producers().must_be_refused(n);
                if (around_.may_be_refused(static_cast<errc>(failed->code()), sent)) return;
                return expect(*failed, {errc::no_such_topic, errc::no_such_partition, errc::backlog_full});
            }
            around_.judge.publish_answered(id, partition, {f.head->message_as_Published()->first()}, numbers);
        });
}

void lease_client::peek() {
    if (around_.known.topics.empty()) return;
    auto it = around_.known.topics.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(around_.random.below(around_.known.topics.size())));
    wire_.ask(
        [&](auto& b) {
            return wire::CreatePeekDirect(b, it->first.c_str(), static_cast<std::uint32_t>(around_.random.below(it->second.partitions)),
                                          around_.random.below(3000), 1 + static_cast<std::uint32_t>(around_.random.below(50)), 4096);
        },
        [](const proto::frame& f) {
            if (const auto* failed = f.head->message_as_Failed()) expect(*failed, {errc::no_such_topic, errc::no_such_partition});
        });
}

}  // namespace millrace::sim
