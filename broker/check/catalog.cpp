// Reads every row, and holds the catalog together: without it nobody knows what the rest belongs to. A topic whose row is lost is made anew from its
// partitions, under a name that says so; a subscription whose row is lost is gone, for nothing else says whose it was.
#include <algorithm>
#include <set>

#include "broker/check/examination.hpp"
#include "broker/core/row_codec.hpp"

namespace millrace::check {
namespace {

constexpr std::size_t page_rows = 4096;

std::uint32_t number(core::topic_id id) { return static_cast<std::uint32_t>(id); }
std::uint32_t number(core::subscription_id id) { return static_cast<std::uint32_t>(id); }

/// The first number of a key; 0 when it has none.
std::uint32_t first_number(const std::string& key) { return key.size() < 5 ? 0 : core::key_reader(key).u32(); }

/// The partition in the key of a subscription's row.
std::uint32_t partition_in(const std::string& key) {
    core::key_reader k(key);
    k.u32();
    return k.u32();
}

}  // namespace

error examination::run() {
    if (auto refused = read_rows()) return refused;
    examine_catalog();
    for (auto& [id, t] : topics_)
        for (auto& [index, p] : t.partitions)
            if (auto refused = examine_entries(t, index)) return refused;
    for (auto& [id, s] : subscriptions_) {
        const auto& t = topics_.at(s.row.topic);
        for (const auto& [index, p] : t.partitions) examine_progress(s, t, index);
    }
    examine_producers();
    report_.topics = topics_.size();
    report_.subscriptions = subscriptions_.size();
    return {};
}

void examination::find(place where, std::string what, std::string remedy, std::vector<core::mutation> how) {
    report_.findings.push_back({std::move(where), std::move(what), std::move(remedy)});
    for (auto& m : how) {
        std::string key;
        if (const auto* put_one = std::get_if<core::put_row>(&m)) key = put_one->key;
        if (const auto* erased = std::get_if<core::erase_row>(&m)) key = erased->key;
        if (const auto* freed = std::get_if<core::free_entry>(&m))
            key = core::key_writer('\xff').u32(number(freed->partition.topic)).u32(freed->partition.index).u64(freed->last.value).take();
        remedies_.insert_or_assign(std::move(key), std::move(m));
    }
}

void examination::erase(const core::row& r, place where, std::string what, std::string remedy) {
    find(std::move(where), std::move(what), std::move(remedy), {core::erase_row{r.key}});
}

/// Part of a remedy that is found already.
void examination::put(core::row r) {
    auto key = r.key;
    remedies_.insert_or_assign(std::move(key), core::put_row{r.key, std::move(r.value)});
}

std::vector<core::mutation> examination::take_remedies() {
    std::vector<core::mutation> all;
    for (auto& [key, m] : remedies_) all.push_back(std::move(m));
    return all;
}

place examination::place_of(const topic_state& t, std::uint32_t partition) const { return {t.row.name, partition}; }

// ---- rows ----

error examination::read_rows() {
    for (core::row_range range{std::string(1, '\0'), std::string(32, '\xff')};;) {
        auto page = store_.scan(range, page_rows);
        if (!page) return {page.failure().code, page.failure().what + "; rows that cannot be read cannot be derived: restore a backup"};
        const auto count = page.value().size();
        if (count > 0) range.begin = page.value().back().key + '\0';
        for (auto& r : page.value()) take_row(std::move(r));
        if (count < page_rows) return {};
    }
}

void examination::take_row(core::row&& r) {
    switch (r.key.front()) {
        case 'M': meta_ = std::move(r); break;
        case 'T': topic_rows_.push_back(std::move(r)); break;
        case 'S': subscription_rows_.push_back(std::move(r)); break;
        case 'P': log_rows_.push_back(std::move(r)); break;
        case 'G':
        case 'F':
        case 'H':
        case 'B': own_rows_.push_back(std::move(r)); break;
        case 'I': {  // what it says is taken up at the next start, whether or not its subscription is still there
            core::arrival_row arrived;
            if (const auto bad = decode(r, arrived)) erase(r, {}, bad.what, "it is dropped: a dead letter may arrive twice");
            break;
        }
        case 'N':
        case 'Q': producer_rows_.push_back(std::move(r)); break;
        default: erase(r, {}, "a row of an unknown table '" + r.key.substr(0, 1) + "'", "it is dropped");
    }
}

// ---- the catalog ----

void examination::examine_catalog() {
    examine_topics();
    examine_names();
    examine_subscriptions();
    examine_meta();
}

examination::topic_state& examination::recovered_topic(core::topic_id id, const std::string& why) {
    auto& t = topics_[id];
    t.row.id = id;
    t.row.name = "recovered-" + std::to_string(number(id));
    find({t.row.name}, why, "a topic of this name is made from its partitions, with default settings");
    return t;
}

void examination::examine_topics() {
    for (const auto& r : topic_rows_) {
        core::topic_row stored;
        const core::topic_id id{first_number(r.key)};
        if (const auto bad = decode(r, stored); !bad)
            topics_[id].row = std::move(stored);
        else if (r.key.size() == 5)
            put(encode(recovered_topic(id, bad.what).row));
        else
            erase(r, {}, bad.what, "it is dropped");
    }
    for (const auto& r : log_rows_) {
        core::log_row stored;
        const auto bad = decode(r, stored);
        const core::topic_id id{first_number(r.key)};
        if (r.key.size() != 9) {
            erase(r, {}, bad.what, "it is dropped");
            continue;
        }
        auto found = topics_.find(id);
        auto& t = found != topics_.end() ? found->second : recovered_topic(id, "partitions of topic " + std::to_string(number(id)) + ", which is in no catalog");
        const auto index = partition_in(r.key);
        if (index >= limits::partitions) {
            erase(r, place_of(t, index), "a partition beyond the limit of " + std::to_string(limits::partitions), "it is dropped");
            continue;
        }
        if (bad)
            find(place_of(t, index), bad.what, "the row is made anew from the entries");
        else
            t.partitions[index] = {true, stored, {}};
    }
    for (auto& [id, t] : topics_) {
        const auto there = t.partitions.empty() ? 0 : t.partitions.rbegin()->first + 1;
        if (there > t.row.settings.partitions) {
            if (t.row.created_at != timestamp{})
                find({t.row.name}, "it has " + std::to_string(there) + " partitions and says " + std::to_string(t.row.settings.partitions), "it says so");
            t.row.settings.partitions = there;
            put(encode(t.row));
        }
        if (t.row.name.starts_with("recovered-") && t.row.created_at == timestamp{}) put(encode(t.row));
        for (std::uint32_t i = 0; i < t.row.settings.partitions; ++i) t.partitions[i].log.partition = {id, i};
    }
}

void examination::examine_names() {
    std::map<std::string, core::topic_id> names;
    for (auto& [id, t] : topics_) {
        const auto [first, added] = names.try_emplace(t.row.name, id);
        if (added) continue;
        auto renamed = t.row;
        renamed.name += "-" + std::to_string(number(id));
        find({t.row.name}, "two topics have this name, with ids " + std::to_string(number(first->second)) + " and " + std::to_string(number(id)),
             "the younger one becomes '" + renamed.name + "'", {});
        put(encode(renamed));
    }
}

void examination::examine_subscriptions() {
    for (const auto& r : subscription_rows_) {
        core::subscription_row stored;
        if (const auto bad = decode(r, stored))
            erase(r, {}, "a subscription: " + bad.what, "it is dropped with its progress: create it again");
        else if (!topics_.contains(stored.topic))
            erase(r, {{}, {}, stored.name}, "its topic " + std::to_string(number(stored.topic)) + " does not exist", "it is dropped with its progress");
        else
            subscriptions_[stored.id].row = std::move(stored);
    }
    std::set<std::pair<core::topic_id, std::string>> names;
    for (const auto& [id, s] : subscriptions_) {
        if (names.emplace(s.row.topic, s.row.name).second) continue;
        auto renamed = s.row;
        renamed.name += "-" + std::to_string(number(id));
        find({topics_.at(s.row.topic).row.name, {}, s.row.name}, "two subscriptions of the topic have this name", "the younger one becomes '" + renamed.name + "'");
        put(encode(renamed));
    }
    for (auto& r : own_rows_) {
        const auto owner = core::subscription_of(r.key);
        const auto s = owner ? subscriptions_.find(*owner) : subscriptions_.end();
        if (s == subscriptions_.end()) {
            erase(r, {}, "a row of table '" + r.key.substr(0, 1) + "' of subscription " + std::to_string(first_number(r.key)) + ", which is in no catalog", "it is dropped");
            continue;
        }
        const auto index = partition_in(r.key);
        if (!topics_.at(s->second.row.topic).partitions.contains(index)) {
            erase(r, {topics_.at(s->second.row.topic).row.name, index, s->second.row.name}, "a row of a partition that there is not", "it is dropped");
            continue;
        }
        auto& table = r.key.front() == 'G' ? s->second.progress : r.key.front() == 'F' ? s->second.failures : r.key.front() == 'H' ? s->second.hand_overs : s->second.blocks;
        table[index].push_back(std::move(r));
    }
}

void examination::examine_meta() {
    core::meta_row stored;
    const auto bad = meta_ ? decode(*meta_, stored) : error{};
    if (!meta_ && topics_.empty()) return;
    auto least = stored;
    if (!topics_.empty()) least.next_topic = std::max(least.next_topic, number(topics_.rbegin()->first) + 1);
    if (!subscriptions_.empty()) least.next_subscription = std::max(least.next_subscription, number(subscriptions_.rbegin()->first) + 1);
    for (const auto& r : producer_rows_)
        if (r.key.size() >= 9) least.next_producer = std::max(least.next_producer, core::key_reader(r.key).u64() + 1);
    if (meta_ && !bad && least == stored) return;
    ++least.catalog_version;
    find({}, !meta_ ? "the catalog has no row that counts its ids" : bad ? bad.what : "the catalog would give ids a second time",
         "ids go on behind the largest in use", {core::put_row{"M", encode(least).value}});
}

}  // namespace millrace::check
