#include "broker/core/row.hpp"

#include "broker/core/row_codec.hpp"

namespace millrace::core {
namespace {

constexpr std::uint8_t bitmap_row = 1;
constexpr std::uint8_t run_row = 2;

std::string hex(std::string_view bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) {
        out.push_back(digits[static_cast<std::uint8_t>(c) >> 4]);
        out.push_back(digits[static_cast<std::uint8_t>(c) & 15]);
    }
    return out;
}

row_range keys_with(const std::string& prefix) {
    auto end = prefix;
    while (static_cast<std::uint8_t>(end.back()) == 0xff) end.pop_back();
    end.back() = static_cast<char>(static_cast<std::uint8_t>(end.back()) + 1);
    return {prefix, end};
}

std::uint32_t number(topic_id id) { return static_cast<std::uint32_t>(id); }
std::uint32_t number(subscription_id id) { return static_cast<std::uint32_t>(id); }

}  // namespace

error row_verdict(const row& r, bool good) {
    if (good) return {};
    return {errc::corruption, "the row under key " + hex(r.key) + " (" + std::to_string(r.value.size()) + " bytes) is not a row of its kind"};
}

std::string topic_key(topic_id id) { return key_writer('T').u32(number(id)).take(); }
std::string subscription_key(subscription_id id) { return key_writer('S').u32(number(id)).take(); }
std::string log_key(partition_id p) { return key_writer('P').u32(number(p.topic)).u32(p.index).take(); }
std::string block_key(subscription_id s, std::uint32_t partition, std::uint64_t last_block) {
    return key_writer('B').u32(number(s)).u32(partition).u64(last_block).take();
}

row encode(const meta_row& m) {
    return {"M", value_writer().number(m.next_topic).number(m.next_subscription).number(m.catalog_version).number(m.next_producer).take()};
}

error decode(const row& r, meta_row& out) {
    value_reader v(r.value);
    out.next_topic = v.number<std::uint32_t>();
    out.next_subscription = v.number<std::uint32_t>();
    out.catalog_version = v.number<std::uint64_t>();
    out.next_producer = v.number<std::uint64_t>();
    return row_verdict(r, v.good());
}

row encode(const topic_row& t) {
    const auto& s = t.settings;
    return {topic_key(t.id), value_writer()
                                 .text(t.name)
                                 .time(t.created_at)
                                 .number(s.partitions)
                                 .age(s.keep_age)
                                 .number(s.keep_bytes)
                                 .age(s.max_age)
                                 .number(s.max_backlog)
                                 .number(static_cast<std::uint8_t>(s.on_limit))
                                 .take()};
}

error decode(const row& r, topic_row& out) {
    key_reader k(r.key);
    out.id = topic_id{k.u32()};
    value_reader v(r.value);
    out.name = v.text();
    out.created_at = v.time();
    out.settings.partitions = v.number<std::uint32_t>();
    out.settings.keep_age = v.age();
    out.settings.keep_bytes = v.number<std::uint64_t>();
    out.settings.max_age = v.age();
    out.settings.max_backlog = v.number<std::uint64_t>();
    out.settings.on_limit = static_cast<limit_policy>(v.number<std::uint8_t>());
    return row_verdict(r, k.good() && v.good() && out.settings.partitions >= 1 && out.settings.partitions <= limits::partitions);
}

row encode(const subscription_row& s) {
    return {subscription_key(s.id),
            value_writer().number(number(s.topic)).text(s.name).time(s.created_at)
                                         .age(s.settings.visibility_timeout)
                                         .number(s.settings.max_deliveries)
                                         .age(s.settings.backoff_min)
                                         .age(s.settings.backoff_max)
                                         .text(s.settings.dead_letter)
                                         .take()};
}

error decode(const row& r, subscription_row& out) {
    key_reader k(r.key);
    out.id = subscription_id{k.u32()};
    value_reader v(r.value);
    out.topic = topic_id{v.number<std::uint32_t>()};
    out.name = v.text();
    out.created_at = v.time();
    out.settings.visibility_timeout = v.age();
    out.settings.max_deliveries = v.number<std::uint32_t>();
    out.settings.backoff_min = v.age();
    out.settings.backoff_max = v.age();
    out.settings.dead_letter = v.text();
    return row_verdict(r, k.good() && v.good());
}

row encode(const log_row& l) {
    return {log_key(l.partition), value_writer().number(l.next.value).number(l.start.value).number(l.kept_to.value).number(l.bytes).number(l.kept_bytes).take()};
}

error decode(const row& r, log_row& out) {
    key_reader k(r.key);
    out.partition.topic = topic_id{k.u32()};
    out.partition.index = k.u32();
    value_reader v(r.value);
    out.next = {v.number<std::uint64_t>()};
    out.start = {v.number<std::uint64_t>()};
    out.kept_to = {v.number<std::uint64_t>()};
    out.bytes = v.number<std::uint64_t>();
    out.kept_bytes = v.number<std::uint64_t>();
    return row_verdict(r, k.good() && v.good() && out.start <= out.kept_to && out.kept_to <= out.next && out.kept_bytes <= out.bytes);
}

row encode(const progress_row& p) {
    return {key_writer('G').u32(number(p.subscription)).u32(p.partition).take(), value_writer()
                                                                                     .number(p.start.value)
                                                                                     .number(p.cursor.value)
                                                                                     .number(p.counts.acked)
                                                                                     .number(p.counts.dead)
                                                                                     .number(p.counts.parked)
                                                                                     .number(p.counts.expired)
                                                                                     .number(p.counts.skipped)
                                                                                     .take()};
}

error decode(const row& r, progress_row& out) {
    key_reader k(r.key);
    out.subscription = subscription_id{k.u32()};
    out.partition = k.u32();
    value_reader v(r.value);
    out.start = {v.number<std::uint64_t>()};
    out.cursor = {v.number<std::uint64_t>()};
    out.counts.acked = v.number<std::uint64_t>();
    out.counts.dead = v.number<std::uint64_t>();
    out.counts.parked = v.number<std::uint64_t>();
    out.counts.expired = v.number<std::uint64_t>();
    out.counts.skipped = v.number<std::uint64_t>();
    return row_verdict(r, k.good() && v.good() && out.start <= out.cursor);
}

row encode(const failure_row& f) {
    return {key_writer('F').u32(number(f.subscription)).u32(f.partition).u64(f.at.value).take(),
            value_writer().number(f.count).time(f.due).number(static_cast<std::uint8_t>(f.parked)).text(f.reason).take()};
}

error decode(const row& r, failure_row& out) {
    key_reader k(r.key);
    out.subscription = subscription_id{k.u32()};
    out.partition = k.u32();
    out.at = {k.u64()};
    value_reader v(r.value);
    out.count = v.number<std::uint32_t>();
    out.due = v.time();
    out.parked = v.number<std::uint8_t>() != 0;
    out.reason = v.text();
    return row_verdict(r, k.good() && v.good());
}

row encode(const hand_over_row& h) {
    return {key_writer('H').u32(number(h.subscription)).u32(h.partition).u64(h.at.value).take(),
            value_writer().number(h.failures).text(h.reason).take()};
}

error decode(const row& r, hand_over_row& out) {
    key_reader k(r.key);
    out.subscription = subscription_id{k.u32()};
    out.partition = k.u32();
    out.at = {k.u64()};
    value_reader v(r.value);
    out.failures = v.number<std::uint32_t>();
    out.reason = v.text();
    return row_verdict(r, k.good() && v.good());
}

std::string arrival_key(const dead_message& what) {
    return key_writer('I').u32(number(what.subscription)).u32(what.partition).u64(what.at.value).take();
}

row encode(const arrival_row& a) {
    return {arrival_key(a.what), value_writer().number(number(a.target.topic)).number(a.target.index).take()};
}

error decode(const row& r, arrival_row& out) {
    key_reader k(r.key);
    out.what.subscription = subscription_id{k.u32()};
    out.what.partition = k.u32();
    out.what.at = {k.u64()};
    value_reader v(r.value);
    out.target.topic = topic_id{v.number<std::uint32_t>()};
    out.target.index = v.number<std::uint32_t>();
    return row_verdict(r, k.good() && v.good());
}

row encode(subscription_id s, std::uint32_t partition, const settled_set::block_row& b) {
    value_writer v;
    if (b.bits) {
        v.number(bitmap_row);
        for (const auto word : *b.bits) v.number(word);
    } else {
        v.number(run_row).number(b.first);
    }
    return {block_key(s, partition, b.last), v.take()};
}

error decode(const row& r, settled_set::block_row& out) {
    key_reader k(r.key);
    k.u32();
    k.u32();
    out.last = k.u64();
    out.first = out.last;
    out.bits.reset();
    value_reader v(r.value);
    const auto kind = v.number<std::uint8_t>();
    if (kind == bitmap_row) {
        out.bits.emplace();
        for (auto& word : *out.bits) word = v.number<std::uint64_t>();
    } else {
        out.first = v.number<std::uint64_t>();
    }
    return row_verdict(r, k.good() && v.good() && (kind == bitmap_row || kind == run_row) && out.first <= out.last);
}

std::optional<subscription_id> subscription_of(std::string_view key) {
    if (key.size() < 5 || std::string_view("GFHIB").find(key.front()) == std::string_view::npos) return std::nullopt;
    return subscription_id{key_reader(key).u32()};
}

row_range start_rows() { return {"C", "Z"}; }
row_range log_rows(topic_id id) { return keys_with(key_writer('P').u32(number(id)).take()); }
row_range progress_rows(subscription_id id) { return keys_with(key_writer('G').u32(number(id)).take()); }
row_range failure_rows(subscription_id id) { return keys_with(key_writer('F').u32(number(id)).take()); }
row_range hand_over_rows(subscription_id id) { return keys_with(key_writer('H').u32(number(id)).take()); }
row_range arrival_rows(subscription_id id) { return keys_with(key_writer('I').u32(number(id)).take()); }
row_range block_rows(subscription_id id) { return keys_with(key_writer('B').u32(number(id)).take()); }
row_range block_rows(subscription_id id, std::uint32_t partition, std::uint64_t from) {
    return {block_key(id, partition, from), keys_with(key_writer('B').u32(number(id)).u32(partition).take()).end};
}

}  // namespace millrace::core
