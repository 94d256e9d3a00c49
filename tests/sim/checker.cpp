#include "tests/sim/checker.hpp"

#include <algorithm>
#include <charconv>

namespace millrace::sim {
namespace {

std::string place_text(std::uint32_t topic, std::uint32_t partition, sequence at) {
    return "topic " + std::to_string(topic) + " partition " + std::to_string(partition) + " message " + std::to_string(at.value);
}

[[noreturn]] void broken(const std::string& promise, const std::string& where) {
    throw violation(promise + ": " + where);
}

[[noreturn]] void broken(const std::string& promise, const reader& who, std::uint32_t partition, sequence at) {
    broken(promise, "subscription " + std::to_string(who.subscription) + " " + place_text(who.topic, partition, at) + ", session " +
                        std::to_string(static_cast<std::uint64_t>(who.session)) + " consumer " + std::to_string(who.consumer));
}

/// Whether the token of message `at`, given with `attempt`, is among them.
bool contains(const std::vector<token_range>& ranges, std::uint32_t partition, sequence at, std::uint32_t attempt) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const token_range& r) { return r.partition == partition && r.attempt == attempt && r.first <= at && at <= r.last; });
}

}  // namespace

std::string checker::payload_of(message_number number, std::size_t bytes) {
    const auto n = static_cast<std::uint64_t>(number);
    auto payload = std::to_string(n) + ":";
    for (auto x = n; payload.size() < bytes;) {
        x = x * 6364136223846793005 + 1442695040888963407;
        payload.push_back(static_cast<char>('a' + (x >> 59)));
    }
    return payload;
}

std::uint64_t checker::number_in(const std::string& payload) const {
    std::uint64_t number = 0;
    std::from_chars(payload.data(), payload.data() + payload.size(), number);
    if (number == 0 || number > sent_.size()) broken("a message that nobody sent", payload.substr(0, 40));
    if (payload != payload_of(message_number{number}, sent_[number - 1].bytes)) broken("a payload was changed", "message number " + std::to_string(number));
    return number;
}

// ---- publishing ----

message_number checker::publish(const std::string& topic, std::size_t bytes) {
    sent_.push_back({topic, bytes});
    return message_number{sent_.size()};
}

void checker::topic_created(std::uint32_t topic, const std::string& name) {
    topics_[topic] = name;
    producers_.topic_created(topic);
}

void checker::publish_answered(std::uint32_t topic, std::uint32_t partition, sequence first, const std::vector<message_number>& numbers) {
    for (std::size_t i = 0; i < numbers.size(); ++i) bind(topic, partition, first + i, static_cast<std::uint64_t>(numbers[i]), true);
    auto& high = known_high_[{topic, partition}];
    high = std::max(high, first + numbers.size());
}

void checker::bind(std::uint32_t topic, std::uint32_t partition, sequence at, std::uint64_t number, bool promise) {
    auto& p = partitions_[{topic, partition}];
    if (p.content.size() <= at.value) {
        p.content.resize(at.value + 1);
        p.promised.resize(at.value + 1);
    }
    auto& there = p.content[at.value];
    if (there != 0 && there != number)
        broken("two messages at one place", place_text(topic, partition, at) + ": numbers " + std::to_string(there) + " and " + std::to_string(number));
    if (promise && p.promised[at.value] && !producers_.is_numbered(message_number{number})) broken("a sequence was given twice", place_text(topic, partition, at));
    there = number;
    producers_.stored(topic, partition, at, message_number{number});
    if (promise) p.promised[at.value] = true;
}

// ---- subscriptions ----

void checker::subscription_created(std::uint32_t subscription, subscription_promise promise) {
    auto& s = subscriptions_[subscription];
    s.partitions.resize(promise.starts.size());
    s.promise = std::move(promise);
    s.others_first = sent_.size();
}

checker::progress_history* checker::find(std::uint32_t subscription, std::uint32_t partition) {
    const auto it = subscriptions_.find(subscription);
    if (it == subscriptions_.end()) return nullptr;
    auto& s = it->second;
    if (partition >= s.partitions.size()) {  // the topic has grown
        s.partitions.resize(partition + 1);
        s.promise.starts.resize(partition + 1);
    }
    return &s.partitions[partition];
}

std::uint8_t& checker::flags_of(progress_history& p, sequence at) {
    if (p.flags.size() <= at.value) p.flags.resize(at.value + 1);
    return p.flags[at.value];
}

// ---- consuming ----

void checker::check_content(std::uint32_t topic, const delivered_message& m, const std::optional<dead_letter>& died) {
    const auto number = number_in(m.payload);
    if (died) return check_dead_letter(topic, m, *died, number);
    const auto& sent_to = sent_[number - 1].topic;
    const auto name = topics_.find(topic);
    if (name != topics_.end() && name->second != sent_to) broken("a message of topic '" + sent_to + "'", place_text(topic, m.partition, m.at));
    bind(topic, m.partition, m.at, number, false);
}

void checker::check_dead_letter(std::uint32_t topic, const delivered_message& m, const dead_letter& died, std::uint64_t number) {
    const place here{topic, m.partition, m.at};
    const auto where = place_text(topic, m.partition, m.at) + " from '" + died.topic + "' '" + died.subscription + "' " +
                       std::to_string(died.partition) + " " + std::to_string(died.at.value);
    for (auto& [id, s] : subscriptions_) {
        if (!s.promise.stays || s.promise.topic_name != died.topic || s.promise.name != died.subscription) continue;
        const auto [it, first] = dead_arrived_.emplace(origin_of_dead{died.topic, died.subscription, died.partition, died.at}, here);
        if (!first && it->second != here) broken("a dead letter arrived twice", where);
        if (topics_[topic] != s.promise.dead_letter_topic) broken("a dead letter arrived in another topic", where);
        bind(s.promise.topic, died.partition, died.at, number, false);
        auto& p = *find(id, died.partition);
        auto& flags = flags_of(p, died.at);
        if (flags & acked_in_time) broken("a message died after its ack was answered", where);
        const auto failed = p.failures[died.at];
        if (died.failures == 0 || died.failures > failed)
            broken("a dead letter counts " + std::to_string(died.failures) + " failures of at most " + std::to_string(failed), where);
        if (const auto known = p.known_failures[died.at]; died.failures < known)
            broken("a dead letter counts " + std::to_string(died.failures) + " failures, and " + std::to_string(known) + " were answered", where);
        if (!(flags & reject_sent) && died.failures < s.promise.max_deliveries) broken("a message died before its last delivery", where);
        flags |= dead;
    }
}

void checker::consumer_opened(const reader& consumer) {
    std::erase_if(next_first_, [&](const auto& n) { return std::get<0>(n.first) == consumer.session && std::get<1>(n.first) == consumer.consumer; });
}

void checker::delivered(timestamp now, const reader& to, const delivered_message& m, const std::optional<dead_letter>& died) {
    ++deliveries_;
    check_content(to.topic, m, died);
    auto* p = find(to.subscription, m.partition);
    if (!p) return;
    ++p->failures[m.at];  // it may end badly
    if (ended_.contains(to.session)) return;
    if (m.at < subscriptions_.at(to.subscription).promise.starts[m.partition]) broken("delivered before the subscription's start", to, m.partition, m.at);
    auto& flags = flags_of(*p, m.at);
    if (flags & acked) broken("delivered after its ack was answered", to, m.partition, m.at);
    if (flags & (rejected | dead)) broken("delivered after it had died", to, m.partition, m.at);
    const auto early = p->not_before.find(m.at);
    if (early != p->not_before.end() && now < early->second) broken("delivered before its backoff was over", to, m.partition, m.at);
    if (m.attempt == 1) {
        auto& next = next_first_[{to.session, to.consumer, m.partition}];
        if (m.at < next) broken("first deliveries out of order", to, m.partition, m.at);
        next = m.at + 1;
    }
    auto& high = known_high_[{to.topic, m.partition}];
    high = std::max(high, m.at + 1);
    hold(for_ever, to, m.partition, m.at, m.attempt, false, now);
}

void checker::hold(timestamp until, const reader& by, std::uint32_t partition, sequence at, std::uint32_t attempt, bool start_known, timestamp now) {
    if (lost_.contains(by.session)) return;
    auto& held = find(by.subscription, partition)->held;
    const auto other = held.find(at);
    if (other != held.end() && other->second.until > now && (other->second.session != by.session || other->second.consumer != by.consumer))
        broken("given to a second holder while session " + std::to_string(static_cast<std::uint64_t>(other->second.session)) + " consumer " +
                   std::to_string(other->second.consumer) + " holds it",
               by, partition, at);
    held.insert_or_assign(at, holding{by.session, by.consumer, attempt, until, start_known});
}

void checker::start_sent(timestamp now, const reader& from, const std::vector<token_range>& ranges) {
    for (const auto& r : ranges) {
        auto* p = find(from.subscription, r.partition);
        if (!p) return;
        for (auto at = r.first; at <= r.last; ++at) {
            const auto it = p->held.find(at);
            if (it == p->held.end() || !it->second.is(from, r.attempt) || it->second.until != for_ever) continue;
            it->second.until = now + lasting(subscriptions_.at(from.subscription).promise.visibility);
        }
    }
}

void checker::extend_answered(timestamp sent, const reader& from, const std::vector<token_range>& ranges, const std::vector<token_range>& lost) {
    for (const auto& r : ranges) {
        auto* p = find(from.subscription, r.partition);
        if (!p) return;
        for (auto at = r.first; at <= r.last; ++at) {
            const auto it = p->held.find(at);
            if (it == p->held.end() || !it->second.is(from, r.attempt) || contains(lost, r.partition, at, r.attempt)) continue;
            it->second.start_known = true;
            if (it->second.until != for_ever) it->second.until = std::max(it->second.until, sent + lasting(subscriptions_.at(from.subscription).promise.visibility));
        }
    }
}

void checker::adoption_sent(const reader& by, const std::vector<token_range>& presented) {
    for (const auto& r : presented) {
        auto* p = find(by.subscription, r.partition);
        if (!p) return;
        for (auto at = r.first; at <= r.last; ++at) ++p->failures[at];
    }
}

void checker::adopted(timestamp sent, timestamp now, const reader& by, const std::vector<token_range>& presented, const std::vector<token_range>& lost) {
    if (ended_.contains(by.session)) return;
    for (const auto& r : presented) {
        auto* p = find(by.subscription, r.partition);
        if (!p) return;
        for (auto at = r.first; at <= r.last; ++at) {
            if (contains(lost, r.partition, at, r.attempt)) {
                --p->failures[at];
                continue;
            }
            const auto settled = p->settled_when.find(at);
            if (settled != p->settled_when.end() && settled->second <= sent) broken("a settled message was leased again", by, r.partition, at);
            p->not_before.erase(at);  // whoever adopted it may give it back
            const auto it = p->held.find(at);
            // Its earlier session is gone: the new one takes the lease over.
            if (it != p->held.end() && lost_.contains(it->second.session)) p->held.erase(it);
            const auto until = sent + lasting(subscriptions_.at(by.subscription).promise.visibility);
            if (until > now) hold(until, by, r.partition, at, r.attempt, true, now);  // else it may have ended before it was told
        }
    }
}

hand_in_key checker::hand_in_sent(timestamp now, const reader& from, hand_in how, std::vector<token_range> ranges) {
    const hand_in_key key{++last_hand_in_};
    auto& sent = under_way_[key];
    sent = {from, how, now, std::move(ranges), {}};
    for (const auto& r : sent.ranges) {
        auto* p = find(from.subscription, r.partition);
        if (!p) continue;
        for (auto at = r.first; at <= r.last; ++at) {
            if (how == hand_in::ack) flags_of(*p, at) |= ack_sent;
            if (how == hand_in::reject) flags_of(*p, at) |= reject_sent;
            if (how == hand_in::reject) ++p->failures[at];
            const auto it = p->held.find(at);
            if (it == p->held.end() || !it->second.is(from, r.attempt)) continue;
            sent.protected_until.emplace(std::tuple{r.partition, r.attempt, at}, it->second.until);
            p->held.erase(it);
        }
    }
    return key;
}

void checker::hand_in_answered(timestamp now, hand_in_key which, const std::vector<token_range>& lost) {
    const auto found = under_way_.extract(which);
    if (found.empty()) return;
    const auto& done = found.mapped();
    for (const auto& r : done.ranges) {
        auto* p = find(done.from.subscription, r.partition);
        if (!p) continue;
        const auto& promise = subscriptions_.at(done.from.subscription).promise;
        for (auto at = r.first; at <= r.last; ++at) {
            const auto held = done.protected_until.find({r.partition, r.attempt, at});
            if (contains(lost, r.partition, at, r.attempt)) {
                if (held != done.protected_until.end() && held->second > now) broken("lost though its holder had it", done.from, r.partition, at);
                continue;
            }
            const auto in_time = held != done.protected_until.end() && held->second > now;
            if (done.how == hand_in::ack || done.how == hand_in::reject) p->settled_when.try_emplace(at, now);
            if (done.how == hand_in::ack) flags_of(*p, at) |= in_time ? acked | acked_in_time : acked;
            if (done.how == hand_in::reject) flags_of(*p, at) |= rejected;
            if ((done.how == hand_in::nack || done.how == hand_in::reject) && in_time) ++p->known_failures[at];
            if (done.how == hand_in::nack && in_time) p->not_before[at] = done.sent + lasting(promise.backoff_min);
        }
    }
}

void checker::closed(const reader& consumer) {
    const auto it = subscriptions_.find(consumer.subscription);
    if (it == subscriptions_.end()) return;
    for (auto& p : it->second.partitions)
        std::erase_if(p.held, [&](const auto& h) { return h.second.session == consumer.session && h.second.consumer == consumer.consumer; });
}

// ---- faults ----

void checker::lose(timestamp now, session_key session) {
    for (auto& [id, s] : subscriptions_)
        for (auto& p : s.partitions)
            for (auto it = p.held.begin(); it != p.held.end();) {
                auto& h = it->second;
                if (h.session != session) {
                    ++it;
                    continue;
                }
                h.until = std::min(h.until, now + lasting(session_grace));
                it = h.start_known ? std::next(it) : p.held.erase(it);
            }
    std::erase_if(under_way_, [&](const auto& u) { return u.second.from.session == session; });
}

void checker::session_lost(timestamp now, session_key session) {
    if (lost_.insert(session).second) lose(now, session);
}

void checker::session_ended(timestamp now, session_key session) {
    session_lost(now, session);
    ended_.insert(session);
}

void checker::broker_crashed() {
    under_way_.clear();
    producers_.broker_crashed();
    for (auto& [id, s] : subscriptions_)
        for (auto& p : s.partitions) p.held.clear();
}

void checker::time_leapt() {
    for (auto& [id, s] : subscriptions_)
        for (auto& p : s.partitions) p.not_before.clear();
}

// ---- what the broker says of itself ----

void checker::describe_sent() {
    high_when_asked_ = known_high_;
}

void checker::described(std::uint32_t subscription, const std::vector<described_progress>& partitions) {
    const auto found = subscriptions_.find(subscription);
    if (found == subscriptions_.end()) return;
    for (std::uint32_t i = 0; i < partitions.size(); ++i) {
        const auto& d = partitions[i];
        auto& told = find(subscription, i)->told;
        const auto where = "subscription " + std::to_string(subscription) + " partition " + std::to_string(i);
        const auto sum = d.acked + d.dead + d.parked + d.expired + d.skipped + d.delayed + d.ready + d.leased;
        if (d.published != sum || (d.high > d.start && d.published != d.high - d.start))
            broken("the states do not add up to what was published", where + ": " + std::to_string(sum) + " of " + std::to_string(d.published));
        if (d.start != found->second.promise.starts[i]) broken("a subscription's start moved", where);
        if (d.cursor < told.cursor) broken("a cursor went back", where + ": " + std::to_string(told.cursor.value) + " to " + std::to_string(d.cursor.value));
        if (d.high < told.high) broken("a high watermark went back", where);
        if (d.acked < told.acked || d.dead < told.dead || d.parked < told.parked || d.expired < told.expired || d.skipped < told.skipped)
            broken("what was settled is counted less than before", where);
        const auto least = high_when_asked_.find({found->second.promise.topic, i});
        if (least != high_when_asked_.end() && d.high < least->second)
            broken("the high watermark is below an answered publish", where + ": " + std::to_string(d.high.value));
        told = d;
    }
}

void checker::settle_accounts() const {
    for (const auto& [id, s] : subscriptions_) {
        for (std::uint32_t i = 0; i < s.partitions.size(); ++i) {
            const auto log = partitions_.find({s.promise.topic, i});
            if (log == partitions_.end()) continue;
            const auto& p = s.partitions[i];
            const auto skipped = skipped_to_.find(s.promise.topic);
            std::uint64_t open = 0;
            std::uint64_t first_open = 0;
            for (auto at = s.promise.starts[i].value; at < log->second.content.size(); ++at) {
                if (!log->second.promised[at]) continue;
                if (log->second.content[at] <= s.others_first) continue;
                if (skipped != skipped_to_.end() && log->second.content[at] <= skipped->second) continue;
                if (at < p.flags.size() && (p.flags[at] & (acked | ack_sent | dead)) != 0) continue;
                if (open++ == 0) first_open = at;
            }
            const auto where = "subscription " + std::to_string(id) + " '" + s.promise.name + "' " + place_text(s.promise.topic, i, {first_open});
            const auto elsewhere = p.told.parked + (s.promise.stays ? 0 : p.told.dead);  // of fleeting names it is not known which have died
            if (open > elsewhere)
                broken("published and never settled", where + " and " + std::to_string(open - 1) + " more, of which " + std::to_string(elsewhere) + " are parked or dead");
            const auto arrived = std::count_if(p.flags.begin(), p.flags.end(), [](std::uint8_t f) { return (f & dead) != 0; });
            if (s.promise.stays && !s.promise.dead_letter_topic.empty() && static_cast<std::uint64_t>(arrived) != p.told.dead)
                broken("dead letters are missing", where + ": " + std::to_string(arrived) + " arrived of " + std::to_string(p.told.dead));
        }
    }
}

}  // namespace millrace::sim
