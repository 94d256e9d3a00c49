#include "tests/sim/producer_rules.hpp"

#include <algorithm>

namespace millrace::sim {
namespace {

std::size_t index(incarnation_key who) { return static_cast<std::size_t>(who) - 1; }

std::string text(message_number number) { return "message number " + std::to_string(static_cast<std::uint64_t>(number)); }

std::string place_text(std::uint32_t topic, std::uint32_t partition) {
    return "topic " + std::to_string(topic) + " partition " + std::to_string(partition);
}

[[noreturn]] void broken(const std::string& promise, const std::string& producer, const std::string& where) {
    throw violation(promise + ": producer '" + producer + "', " + where);
}

}  // namespace

void producer_rules::topic_forgotten(std::uint32_t topic) {
    forgotten_.insert(topic);
    for (auto& [name, p] : producers_) {
        std::erase_if(p.batches, [&](const auto& b) { return b.first.first == topic; });
        std::erase_if(p.order, [&](const auto& o) { return o.first.first == topic; });
    }
}

// ---- opening ----

incarnation_key producer_rules::begins(const std::string& name) {
    incarnations_.push_back({name});
    return incarnation_key{incarnations_.size()};
}

void producer_rules::opening_sent(incarnation_key who) {
    auto& i = incarnations_.at(index(who));
    auto& p = producers_[i.name];
    p.openings.push_back({.who = who, .sent = ++told_});
    i.largest_when_sent = p.epochs.empty() ? 0 : *p.epochs.rbegin();
}

void producer_rules::opening_answered(incarnation_key who, std::uint32_t epoch, const std::vector<position>& told) {
    auto& i = incarnations_.at(index(who));
    auto& p = producers_.at(i.name);
    const auto where = "epoch " + std::to_string(epoch);
    const auto largest = p.epochs.empty() ? 0 : *p.epochs.rbegin();
    if (epoch <= i.largest_when_sent) broken("an epoch that is not larger", i.name, where + " after " + std::to_string(i.largest_when_sent));
    if (!p.epochs.insert(epoch).second) broken("an epoch was given twice", i.name, where);
    if (i.first_epoch != 0 && p.newest != who && epoch > largest) broken("a process returned after another had opened its name", i.name, where);
    if (i.first_epoch == 0) i.first_epoch = epoch;
    if (epoch > largest) p.newest = who;
    auto& asked = *std::find_if(p.openings.rbegin(), p.openings.rend(), [&](const auto& o) { return o.who == who; });
    asked.answered = ++told_;
    check_positions(i.name, asked.sent, told);
}

/// What was answered after the opening was sent may have been stored after it, by who opened the name next.
void producer_rules::check_positions(const std::string& name, std::uint64_t sent, const std::vector<position>& told) const {
    for (const auto& [at, batches] : producers_.at(name).batches) {
        const auto last = std::find_if(batches.rbegin(), batches.rend(), [&](const auto& b) { return b.second.when < sent; });
        if (last == batches.rend()) continue;
        const auto found = std::find_if(told.begin(), told.end(), [&](const position& t) { return t.topic == at.first && t.partition == at.second; });
        const auto known = found == told.end() ? 0 : found->number;
        if (known < last->first)
            broken("an opening does not tell of an answered batch", name,
                   place_text(at.first, at.second) + ": batch " + std::to_string(known) + " is the last of " + std::to_string(last->first));
    }
}

void producer_rules::fenced(incarnation_key who) {
    const auto& i = incarnations_.at(index(who));
    const auto& openings = producers_.at(i.name).openings;
    const auto own = std::find_if(openings.rbegin(), openings.rend(), [&](const opening& o) { return o.who == who && o.answered != 0 && !o.is_over; });
    const auto since = own == openings.rend() ? 0 : own->sent;
    // One that was not answered yet by then may have come after it, and one that never was may come at any time.
    const auto other = std::any_of(openings.begin(), openings.end(), [&](const opening& o) { return o.who != who && (o.answered == 0 || o.answered > since); });
    if (!other) broken("fenced though no other process has opened its name", i.name, "epoch " + std::to_string(i.first_epoch));
}

void producer_rules::broker_crashed() {
    for (auto& [name, p] : producers_)
        for (auto& o : p.openings)
            if (o.answered == 0) o.answered = ++told_, o.is_over = true;
}

// ---- publishing ----

void producer_rules::sent(incarnation_key who, message_number number) {
    sent_[number] = who;
    const auto& i = incarnations_.at(index(who));
    const auto& newest = producers_[i.name].newest;
    if (newest != incarnation_key{} && newest != who) too_late_.insert(number);
}

void producer_rules::answered(incarnation_key who, const batch& b, sequence first, std::size_t count) {
    if (forgotten_.contains(b.topic)) return;
    const auto& name = incarnations_.at(index(who)).name;
    auto& batches = producers_[name].batches[{b.topic, b.partition}];
    const auto where = place_text(b.topic, b.partition) + " batch " + std::to_string(b.number);
    const auto [it, added] = batches.try_emplace(b.number, answered_batch{first, count, ++told_});
    if (!added && it->second.first != first)
        broken("a batch was answered with two places", name, where + ": " + std::to_string(it->second.first.value) + " and " + std::to_string(first.value));
    if (it != batches.begin()) {
        const auto& before = std::prev(it)->second;
        if (before.first + before.count > first) broken("batches are not in the order of their numbers", name, where);
    }
    if (const auto after = std::next(it); after != batches.end() && first + count > after->second.first)
        broken("batches are not in the order of their numbers", name, where);
}

void producer_rules::stored(std::uint32_t topic, std::uint32_t partition, sequence at, message_number number) {
    const auto found = sent_.find(number);
    if (found == sent_.end()) {
        if (refused_.contains(number)) throw violation("what had to be refused was stored: " + text(number));
        return;
    }
    const auto& i = incarnations_.at(index(found->second));
    const auto where = text(number) + " in " + place_text(topic, partition) + " at " + std::to_string(at.value);
    if (refused_.contains(number)) broken("what had to be refused was stored", i.name, where);
    if (too_late_.contains(number)) broken("a fenced process has stored a message", i.name, where);
    const auto [there, first] = stored_.try_emplace({number, topic}, partition, at);
    if (!first && there->second != std::pair{partition, at}) broken("a message of a numbered batch was stored twice", i.name, where);
    if (!first || forgotten_.contains(topic)) return;
    auto& order = producers_[i.name].order[{topic, partition}];
    const auto it = order.try_emplace(at, i.first_epoch, number).first;
    const auto compare = [&](const auto& one, const auto& other) {
        if (one.second > other.second)
            broken("messages are not in the order in which they were sent", i.name,
                   where + ": " + text(one.second.second) + " of epoch " + std::to_string(one.second.first) + " comes before " + text(other.second.second) +
                       " of epoch " + std::to_string(other.second.first));
    };
    if (it != order.begin()) compare(*std::prev(it), *it);
    if (const auto next = std::next(it); next != order.end()) compare(*it, *next);
}

}  // namespace millrace::sim
