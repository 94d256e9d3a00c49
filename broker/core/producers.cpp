#include "broker/core/producers.hpp"

#include <algorithm>

#include "broker/core/row_codec.hpp"

namespace millrace::core {

std::string producers::key_of(producer_id id) {
    return key_writer('N').u64(static_cast<std::uint64_t>(id)).take();
}

std::string producers::key_of(const position_key& id) {
    return key_writer('Q').u64(static_cast<std::uint64_t>(id.first)).u32(static_cast<std::uint32_t>(id.second.topic)).u32(id.second.index).take();
}

error producers::judge_return(const std::string& name, std::uint64_t incarnation) const {
    const auto named = names_.find(name);
    if (named == names_.end()) return {};
    const auto& p = producers_.at(named->second);
    if (p.incarnation == incarnation) return {};
    return {errc::producer_fenced, "producer '" + name + "' was opened by another client meanwhile: its epoch is " + std::to_string(p.epoch)};
}

producers::opened producers::open(const std::string& name, std::uint64_t incarnation, timestamp now, std::uint64_t& next_id) {
    const auto [named, added] = names_.try_emplace(name, producer_id{next_id});
    if (added) ++next_id;
    const auto id = named->second;
    auto& p = producers_[id];
    p.name = name;
    ++p.epoch;
    p.incarnation = incarnation;
    p.used_at = now;
    changed_.insert(id);
    return {id, p.epoch, positions_of(p)};
}

std::vector<producer_position> producers::positions_of(const producer& p) const {
    std::vector<producer_position> all;
    for (const auto& [partition, batches] : p.positions) all.push_back({partition, batches.back().number});
    return all;
}

std::vector<producer_position> producers::learn(producer_id id, const std::string& name, std::uint32_t epoch, std::uint64_t incarnation, timestamp now) {
    names_[name] = id;
    auto& p = producers_[id];
    p.name = name;
    p.epoch = epoch;
    p.incarnation = incarnation;
    p.used_at = now;
    return positions_of(p);
}

void producers::note_use(producer_id id, timestamp now) {
    const auto it = producers_.find(id);
    if (it == producers_.end()) return;
    it->second.used_at = now;
    changed_.insert(id);
}

producers::verdict producers::judge(const batch_claim& claim, partition_id partition) const {
    const auto it = producers_.find(claim.producer);
    if (it == producers_.end())
        return {{}, {errc::no_such_producer, "producer " + std::to_string(static_cast<std::uint64_t>(claim.producer)) + " is not open: open it by its name"}};
    const auto& p = it->second;
    if (claim.epoch != p.epoch)
        return {{}, {errc::producer_fenced, "producer '" + p.name + "' was opened again: its epoch is " + std::to_string(p.epoch) + ", not " +
                                                std::to_string(claim.epoch)}};
    const auto found = p.positions.find(partition);
    const auto last = found == p.positions.end() ? 0 : found->second.back().number;
    if (claim.number == last + 1) return {};
    if (found != p.positions.end())
        for (const auto& b : found->second) {
            if (b.number != claim.number) continue;
            if (b.checksum == claim.checksum) return {b.first, {}};
            return {{}, {errc::batch_mismatch, "batch " + std::to_string(claim.number) + " of producer '" + p.name + "' was other messages before"}};
        }
    return {{}, {errc::batch_gap, "batch " + std::to_string(claim.number) + " of producer '" + p.name + "' does not follow " + std::to_string(last)}};
}

void producers::taken(const batch_claim& claim, partition_id partition, sequence first, timestamp now) {
    auto& p = producers_.at(claim.producer);
    p.used_at = now;
    auto& batches = p.positions[partition];
    if (batches.size() == remembered_batches) batches.erase(batches.begin());
    batches.push_back({claim.number, first, claim.checksum});
    changed_positions_.emplace(claim.producer, partition);
}

void producers::forget_topic(topic_id topic) {
    for (auto& [id, p] : producers_)
        for (auto it = p.positions.lower_bound({topic, 0}); it != p.positions.end() && it->first.topic == topic;) {
            changed_positions_.emplace(id, it->first);
            it = p.positions.erase(it);
        }
}

std::vector<producer_id> producers::idle(timestamp now) const {
    std::vector<producer_id> all;
    if (!is_first()) return all;
    for (const auto& [id, p] : producers_)
        if (p.used_at < now - idle_max) all.push_back(id);
    return all;
}

error producers::forget(producer_id id, timestamp now) {
    const auto it = producers_.find(id);
    if (it == producers_.end()) return {};
    if (it->second.used_at >= now - idle_max) return {errc::in_use, "producer '" + it->second.name + "' has published meanwhile"};
    if (is_first()) changed_.insert(id);
    for (const auto& [partition, batches] : it->second.positions) changed_positions_.emplace(id, partition);
    names_.erase(it->second.name);
    producers_.erase(it);
    return {};
}

void producers::take_changes(std::vector<mutation>& out) {
    for (const auto id : changed_) {
        const auto it = producers_.find(id);
        if (it == producers_.end())
            out.push_back(erase_row{key_of(id)});
        else
            out.push_back(put_row{key_of(id), value_writer().text(it->second.name).number(it->second.epoch).time(it->second.used_at)
                                             .number(it->second.incarnation).take()});
    }
    for (const auto& key : changed_positions_) {
        const auto it = producers_.find(key.first);
        const auto gone = it == producers_.end() || !it->second.positions.contains(key.second);
        if (gone) {
            out.push_back(erase_row{key_of(key)});
            continue;
        }
        value_writer v;
        v.time(it->second.used_at);
        for (const auto& b : it->second.positions.at(key.second)) v.number(b.number).number(b.first.value).number(b.checksum);
        out.push_back(put_row{key_of(key), v.take()});
    }
    changed_.clear();
    changed_positions_.clear();
}

error producers::recover(const row& r) {
    key_reader k(r.key);
    const producer_id id{k.u64()};
    value_reader v(r.value);
    if (r.key.front() == 'N') {
        auto& p = producers_[id];
        p.name = v.text();
        p.epoch = v.number<std::uint32_t>();
        p.used_at = v.time();
        if (!v.at_end()) p.incarnation = v.number<std::uint64_t>();  // rows of the first release have none
        names_[p.name] = id;
        return row_verdict(r, k.good() && v.good());
    }
    const auto topic = topic_id{k.u32()};
    const partition_id partition{topic, k.u32()};
    const auto used_at = v.time();
    std::vector<batch> batches;
    while (!v.at_end() && batches.size() < remembered_batches) {
        auto& b = batches.emplace_back();
        b.number = v.number<std::uint64_t>();
        b.first = {v.number<std::uint64_t>()};
        b.checksum = v.number<std::uint32_t>();
        if (v.at_end() && !v.good()) break;
    }
    const auto it = producers_.find(id);  // rows come in key order: the producer before its positions
    if (auto damaged = row_verdict(r, k.good() && v.good() && !batches.empty() && it != producers_.end())) return damaged;
    it->second.used_at = std::max(it->second.used_at, used_at);
    if (place_.holds(topic)) it->second.positions[partition] = std::move(batches);
    return {};
}

}  // namespace millrace::core
