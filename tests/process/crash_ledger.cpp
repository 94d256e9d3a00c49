#include "tests/process/crash_ledger.hpp"

#include <charconv>
#include <iostream>
#include <random>

namespace millrace::process {
namespace {

constexpr message_id no_id = ~message_id{0};
constexpr std::uint64_t violations_told = 20;

std::string text(place p) { return std::to_string(p.partition) + "/" + std::to_string(p.sequence.value); }

}  // namespace

/// Everything from the id: most payloads are small, some are empty, a few are larger than what a group usually holds.
message crash_ledger::message_of(message_id id) const {
    std::minstd_rand random(static_cast<std::uint32_t>(seed_ * 1'000'003 + id * 7919 + 1));
    const auto kind = random() % 500;
    const std::size_t size = kind == 0 ? 100'000 + random() % 200'000 : kind < 20 ? 0 : random() % 1500;
    message m;
    m.headers.push_back({"id", std::to_string(id)});
    if (kind % 2 == 0) m.key = "key " + std::to_string(random() % 64);
    m.payload.reserve(size);
    while (m.payload.size() < size) m.payload += static_cast<char>(random() >> 8);
    return m;
}

message_id crash_ledger::id_of(const message& m) {
    message_id id = no_id;
    if (m.headers.size() != 1 || m.headers[0].name != "id") return no_id;
    const auto& digits = m.headers[0].value;
    const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    return bad == std::errc{} && end == digits.data() + digits.size() ? id : no_id;
}

message crash_ledger::new_message() {
    records_.emplace_back();
    ++sums_.published;
    return message_of(records_.size() - 1);
}

/// One message, one place, for ever.
bool crash_ledger::put(message_id id, place at) {
    auto& r = records_[id];
    if (r.placed && r.at != at) {
        violate("message " + std::to_string(id) + " is at " + text(at) + " and was at " + text(r.at));
        return false;
    }
    r.placed = true;
    r.at = at;
    const auto [found, added] = places_.emplace(at, id);
    if (found->second == id) return true;
    violate("message " + std::to_string(id) + " is at " + text(at) + ", where message " + std::to_string(found->second) + " was");
    return false;
}

void crash_ledger::publish_answered(message_id id, place at) {
    put(id, at);
    records_[id].answered = true;
    ++sums_.answered;
}

std::optional<message_id> crash_ledger::delivered(std::size_t subscription, const client::delivery& d, session_order& order) {
    ++sums_.delivered;
    const place at{d.partition, d.sequence};
    const auto id = id_of(d.message);
    if (id >= records_.size() || d.message != message_of(id)) {
        violate("the message at " + text(at) + " is not what was published");
        return std::nullopt;
    }
    put(id, at);
    auto& r = records_[id];
    if (r.acked[subscription])
        violate("message " + std::to_string(id) + " at " + text(at) + " came again, attempt " + std::to_string(d.attempt) + ", after its ack was answered");
    if (r.delivered[subscription])
        ++sums_.again;
    else if (!r.answered && !r.delivered[1 - subscription])
        ++sums_.found_unanswered;
    r.delivered[subscription] = true;

    if (d.attempt == 0) violate("the message at " + text(at) + " came without an attempt");
    if (d.attempt != 1) return id;
    auto& next = order[d.partition];
    if (d.sequence < next) violate("first deliveries out of order: " + text(at) + " after " + std::to_string(next.value - 1));
    next = d.sequence + 1;
    return id;
}

void crash_ledger::ack_answered(std::size_t subscription, message_id id) {
    auto& acked = records_[id].acked[subscription];
    if (acked) return;
    acked = true;
    ++acked_[subscription];
    ++sums_.acked;
}

void crash_ledger::described(std::size_t subscription, const client::subscription_description& d) {
    std::uint64_t published = 0;
    std::uint64_t acked = 0;
    for (const auto& p : d.partitions) {
        const auto sum = p.acked + p.dead + p.parked + p.expired + p.skipped + p.delayed + p.ready + p.leased;
        if (p.published != sum || p.published != p.high - p.start)
            violate("conservation: " + std::to_string(p.published) + " published, " + std::to_string(sum) + " in a state, from " +
                    std::to_string(p.start.value) + " to " + std::to_string(p.high.value));
        if (p.dead + p.parked + p.expired + p.skipped > 0) violate("messages of " + d.name + " were settled otherwise than by acks");
        published += p.published;
        acked += p.acked;
    }
    if (published < sums_.answered || published > sums_.published)
        violate(std::to_string(published) + " messages are there; " + std::to_string(sums_.answered) + " were answered of " +
                std::to_string(sums_.published) + " that were sent");
    if (acked < acked_[subscription])
        violate(std::to_string(acked) + " messages of " + d.name + " are acked; " + std::to_string(acked_[subscription]) + " acks were answered");
}

void crash_ledger::drained() {
    for (message_id id = 0; id < records_.size(); ++id) {
        const auto& r = records_[id];
        for (std::size_t s = 0; s < subscriptions; ++s)
            if (r.answered && !r.delivered[s])
                violate("message " + std::to_string(id) + " at " + text(r.at) + " was answered and never came on subscription " + std::to_string(s));
    }
}

void crash_ledger::violate(const std::string& what) {
    if (++sums_.violations <= violations_told) std::cerr << "violation: " << what << '\n';
}

}  // namespace millrace::process
