#include "tests/core/ledger.hpp"

#include <stdexcept>

namespace millrace::core::testing {
namespace {

[[noreturn]] void broken(const std::string& promise, partition_id partition, sequence at) {
    throw std::logic_error(promise + ": topic " + std::to_string(static_cast<std::uint32_t>(partition.topic)) + " partition " +
                           std::to_string(partition.index) + " message " + std::to_string(at.value));
}

}  // namespace

void ledger::bind(place where, const std::string& payload) {
    const auto [it, added] = content_.emplace(where, payload);
    if (!added && it->second != payload) broken("two messages at one place", where.partition, where.at);
}

void ledger::published(partition_id partition, sequence first, const std::vector<std::string>& payloads) {
    for (std::size_t i = 0; i < payloads.size(); ++i) {
        bind({partition, first + i}, payloads[i]);
        if (!promised_.insert({partition, first + i}).second) broken("a sequence was given twice", partition, first + i);
    }
}

void ledger::subscribed(subscription_id subscription, partition_id partition, sequence start) { starts_[{subscription, partition}] = start; }

void ledger::forget(subscription_id subscription) {
    std::erase_if(starts_, [&](const auto& s) { return s.first.first == subscription; });
    std::erase_if(acked_, [&](const auto& s) { return s.first.first == subscription; });
    std::erase_if(rejected_, [&](const auto& s) { return s.first.first == subscription; });
}

void ledger::delivered(subscription_id subscription, partition_id partition, sequence at, const std::string& payload) {
    ++deliveries_;
    const auto start = starts_.find({subscription, partition});
    if (start == starts_.end() || at < start->second) broken("delivered before the subscription's start", partition, at);
    if (acked_[{subscription, partition}].contains(at)) broken("delivered after its ack was answered", partition, at);
    if (rejected_[{subscription, partition}].contains(at)) broken("delivered after its reject was answered", partition, at);
    if (dead_.contains({{subscription, partition}, at})) broken("delivered after it had arrived among the dead", partition, at);
    bind({partition, at}, payload);
}

void ledger::acked(subscription_id subscription, partition_id partition, sequence first, sequence last) {
    auto& acked = acked_[{subscription, partition}];
    for (auto at = first; at <= last; ++at) acked.insert(at);
}

void ledger::rejected(subscription_id subscription, partition_id partition, sequence first, sequence last) {
    auto& rejected = rejected_[{subscription, partition}];
    for (auto at = first; at <= last; ++at) rejected.insert(at);
}

void ledger::arrived(subscription_id subscription, partition_id partition, sequence at, const std::string& payload, place where) {
    bind({partition, at}, payload);
    const auto [it, added] = dead_.try_emplace({{subscription, partition}, at}, where);
    if (!added && it->second != where) broken("a dead message arrived twice", partition, at);
}

void ledger::ack_unanswered(subscription_id subscription, partition_id partition, sequence first, sequence last) {
    auto& acked = maybe_acked_[{subscription, partition}];
    for (auto at = first; at <= last; ++at) acked.insert(at);
}

void ledger::purged(partition_id partition, sequence high) {
    auto& to = purged_to_[partition];
    to = std::max(to, high);
}

bool ledger::is_settled(const progress_key& key, sequence at) const {
    const auto purged = purged_to_.find(key.second);
    if (purged != purged_to_.end() && at < purged->second) return true;
    const auto settled_in = [&](const auto& acks) {
        const auto it = acks.find(key);
        return it != acks.end() && it->second.contains(at);
    };
    return settled_in(acked_) || settled_in(maybe_acked_) || dead_.contains({key, at});
}

void ledger::settle_accounts() const {
    for (const auto& where : promised_)
        for (const auto& [key, start] : starts_)
            if (key.second == where.partition && where.at >= start && !is_settled(key, where.at))
                broken("published and never settled", where.partition, where.at);
    for (const auto& [key, rejected] : rejected_)
        for (const auto at : rejected)
            if (!is_settled(key, at)) broken("rejected and never among the dead", key.second, at);
}

}  // namespace millrace::core::testing
