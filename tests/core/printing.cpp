#include "tests/core/printing.hpp"

#include <bit>

#include "broker/core/row.hpp"

namespace millrace::core::testing {
namespace {

std::string text(std::uint64_t n) { return std::to_string(n); }
std::string text(sequence s) { return std::to_string(s.value); }
std::string text(session_id s) { return "s" + std::to_string(static_cast<std::uint64_t>(s)); }
std::string text(consumer_id c) { return "c" + std::to_string(static_cast<std::uint32_t>(c)); }
std::string text(origin o) { return text(o.session) + "." + std::to_string(static_cast<std::uint64_t>(o.request)); }
std::string text(duration d) { return std::to_string(d.count()) + "ms"; }

std::string text(const topic_settings& s) {
    auto out = "partitions=" + text(s.partitions);
    if (s.keep_age.count()) out += " keep_age=" + text(s.keep_age);
    if (s.keep_bytes) out += " keep_bytes=" + text(s.keep_bytes);
    if (s.max_age.count()) out += " max_age=" + text(s.max_age);
    if (s.max_backlog) out += " max_backlog=" + text(s.max_backlog);
    if (s.on_limit == limit_policy::expire) out += " on_limit=expire";
    return out;
}

/// What is not as a new subscription has it.
std::string text(const subscription_settings& s) {
    const subscription_settings usual;
    auto out = "visibility=" + text(s.visibility_timeout);
    if (s.max_deliveries != usual.max_deliveries) out += " max_deliveries=" + text(s.max_deliveries);
    if (s.backoff_min != usual.backoff_min || s.backoff_max != usual.backoff_max) out += " backoff=" + text(s.backoff_min) + ".." + text(s.backoff_max);
    if (!s.dead_letter.empty()) out += " dead_letter=" + s.dead_letter;
    return out;
}

std::string text(const std::vector<lease_range>& ranges, const std::string& what = " lost ") {
    std::string out;
    for (const auto& r : ranges) out += what + text(r.partition) + ":" + print(r.first, r.last) + "@" + text(r.attempt);
    return out;
}

/// Transcripts begin at zero.
std::string text(timestamp t) { return text(std::chrono::duration_cast<duration>(t.time_since_epoch())); }

std::string text(const settled_counts& c) {
    std::string out;
    if (c.acked) out += " acked=" + text(c.acked);
    if (c.dead) out += " dead=" + text(c.dead);
    if (c.parked) out += " parked=" + text(c.parked);
    if (c.expired) out += " expired=" + text(c.expired);
    if (c.skipped) out += " skipped=" + text(c.skipped);
    return out;
}

std::string joined(const std::vector<std::string>& names) {
    std::string out;
    for (const auto& n : names) out += " " + n;
    return out;
}

struct answer_printer {
    const known_names& names;

    std::string operator()(const answers::done&) const { return "done"; }
    std::string operator()(const error& e) const { return "refused " + to_string(e); }
    std::string operator()(const answers::published& p) const { return "published from " + text(p.first); }
    std::string operator()(const answers::producer_opened& p) const {
        auto out = "producer " + text(static_cast<std::uint64_t>(p.id)) + " epoch=" + text(p.epoch);
        for (const auto& at : p.positions) out += " " + names.of(at.partition) + "=" + text(at.last_number);
        return out;
    }
    std::string operator()(const answers::acked& a) const { return "acked" + text(a.lost) + text(a.limited, " limited "); }
    std::string operator()(const answers::subscribed& s) const {
        return "subscribed " + text(s.consumer) + " to " + names.of(s.subscription) + " visibility=" + text(s.visibility_timeout) + text(s.lost);
    }
    std::string operator()(const answers::metadata& m) const {
        auto out = "metadata version=" + text(m.version);
        for (const auto& t : m.topics) out += " " + t.name + (t.id ? "=" + text(static_cast<std::uint32_t>(*t.id)) + "x" + text(t.partitions) : "=none");
        return out;
    }
    std::string operator()(const answers::topic_info& t) const {
        auto out = "topic " + t.name + " id=" + text(static_cast<std::uint32_t>(t.id)) + " " + text(t.settings);
        for (std::size_t i = 0; i < t.partitions.size(); ++i) {
            const auto& p = t.partitions[i];
            out += "\n    " + text(i) + ": start=" + text(p.start) + " low=" + text(p.low) + " high=" + text(p.high) + " bytes=" + text(p.bytes) +
                   " backlog=" + text(p.backlog);
        }
        if (!t.subscriptions.empty()) out += "\n    subscriptions" + joined(t.subscriptions);
        return out;
    }
    std::string operator()(const answers::name_page& n) const { return "topics" + joined(n.names) + (n.more ? " and more" : ""); }
    std::string operator()(const answers::subscription_names& n) const { return "subscriptions" + joined(n.names); }
    std::string operator()(const answers::subscription_info& s) const {
        auto out = "subscription " + s.topic + "/" + s.name + " id=" + text(static_cast<std::uint32_t>(s.id)) + " consumers=" + text(s.consumers) +
                   " " + text(s.settings);
        for (std::size_t i = 0; i < s.partitions.size(); ++i) {
            const auto& p = s.partitions[i];
            out += "\n    " + text(i) + ": start=" + text(p.start) + " cursor=" + text(p.cursor) + " high=" + text(p.high) + text(p.settled) +
                   (p.delayed ? " delayed=" + text(p.delayed) : "") + " ready=" + text(p.ready) + " leased=" + text(p.leased);
        }
        if (!s.inconsistent.empty()) out += "\n    inconsistent: " + s.inconsistent;
        return out;
    }
    std::string operator()(const answers::browse& b) const {
        return "browse " + names.of(b.partition) + " at=" + text(b.at) + " start=" + text(b.start) + " high=" + text(b.high) + " messages=" +
               text(b.messages) + " bytes=" + text(b.bytes);
    }
};

struct mutation_printer {
    const known_names& names;

    std::string operator()(const append_entry& m) const {
        return "append " + names.of(m.partition) + " " + print(m.first, m.last) + " bytes=" + text(m.index->bytes()) + " batches=" +
               text(m.index->batches.size());
    }
    std::string operator()(const free_entry& m) const { return "free " + names.of(m.partition) + " ..." + text(m.last); }
    std::string operator()(const drop_partition& m) const { return "drop " + names.of(m.partition); }
    std::string operator()(const put_row& m) const { return "put " + print(row{m.key, m.value}, names); }
    std::string operator()(const erase_row& m) const { return "erase " + key(m.key); }
    std::string operator()(const erase_rows& m) const { return "erase rows " + key(m.range.begin) + " .. " + key(m.range.end); }

    static std::string key(const std::string& k) {
        std::string out = k.substr(0, 1);
        for (std::size_t at = 1; at < k.size();) {
            const auto first_is_wide = k[0] == 'N' || k[0] == 'Q';
            const auto is_wide = at == 1 ? first_is_wide : at == 9 && !first_is_wide;
            const std::size_t width = is_wide ? 8 : 4;
            std::uint64_t v = 0;
            for (std::size_t i = 0; i < width && at < k.size(); ++i, ++at) v = v << 8 | static_cast<std::uint8_t>(k[at]);
            out += " " + text(v);
        }
        return out;
    }
};

std::string print_block(const row& r) {
    settled_set::block_row b;
    if (auto bad = decode(r, b)) return "BAD ROW " + to_string(bad);
    if (!b.bits) return mutation_printer::key(r.key) + " run of blocks " + text(b.first) + "-" + text(b.last);
    std::uint64_t count = 0;
    for (const auto word : *b.bits) count += static_cast<std::uint64_t>(std::popcount(word));
    return mutation_printer::key(r.key) + " bitmap of " + text(count);
}

}  // namespace

std::string known_names::of(topic_id id) const {
    const auto it = topics.find(id);
    return it == topics.end() ? "#" + text(static_cast<std::uint32_t>(id)) : it->second;
}

std::string known_names::of(subscription_id id) const {
    const auto it = subscriptions.find(id);
    return it == subscriptions.end() ? "#" + text(static_cast<std::uint32_t>(id)) : it->second;
}

std::string print(sequence first, sequence last) { return first == last ? text(first) : text(first) + "-" + text(last); }

std::string print(const effects& effects, const known_names& names) {
    std::string out;
    if (effects.taken) out += "taken " + text(effects.taken->first) + " into the entry of " + text(effects.taken->entry) + "\n";
    for (const auto& a : effects.answered) out += text(a.to) + " " + std::visit(answer_printer{names}, a.what) + "\n";
    for (const auto& d : effects.delivered)
        out += "deliver " + text(d.session) + " " + text(d.consumer) + " " + names.of(d.partition) + " " + print(d.first, d.last) +
               (d.attempt == 1 ? "" : " attempt=" + text(d.attempt)) + "\n";
    for (const auto& e : effects.ended) out += "ended " + text(e.session) + " " + text(e.consumer) + " " + to_string(e.why) + "\n";
    for (const auto& h : effects.hand_overs)
        out += "hand over " + names.of(h.subscription) + "/" + text(h.source.index) + " " + text(h.at) + " failures=" + text(h.failures) + " \"" + h.reason + "\"\n";
    for (const auto& l : effects.loads) {
        if (const auto* entries = std::get_if<load_entries>(&l))
            out += "load entries " + names.of(entries->partition) + " from " + text(entries->from) + "\n";
        else if (const auto* blocks = std::get_if<load_blocks>(&l))
            out += "load blocks " + names.of(blocks->subscription) + "/" + text(blocks->partition) + " from " + text(blocks->from) + "\n";
    }
    for (const auto& a : effects.alarms) out += "alarm " + to_string(a) + "\n";
    return out;
}

std::string print(const mutation& m, const known_names& names) { return "  " + std::visit(mutation_printer{names}, m) + "\n"; }

std::string print(const row& r, const known_names& names) {
    const auto bad = [](const error& e) { return "BAD ROW " + to_string(e); };
    switch (r.key.front()) {
        case 'M': {
            meta_row m;
            if (auto e = decode(r, m)) return bad(e);
            return "meta next_topic=" + text(m.next_topic) + " next_subscription=" + text(m.next_subscription) + " version=" + text(m.catalog_version) +
                   (m.next_producer > 1 ? " next_producer=" + text(m.next_producer) : "");
        }
        case 'T': {
            topic_row t;
            if (auto e = decode(r, t)) return bad(e);
            return "topic " + text(static_cast<std::uint32_t>(t.id)) + " " + t.name + " " + text(t.settings);
        }
        case 'S': {
            subscription_row s;
            if (auto e = decode(r, s)) return bad(e);
            return "subscription " + text(static_cast<std::uint32_t>(s.id)) + " " + names.of(s.topic) + "/" + s.name + " " + text(s.settings);
        }
        case 'P': {
            log_row l;
            if (auto e = decode(r, l)) return bad(e);
            return "log " + names.of(l.partition) + " next=" + text(l.next) + " start=" + text(l.start) + " kept_to=" + text(l.kept_to) + " bytes=" +
                   text(l.bytes) + " kept=" + text(l.kept_bytes);
        }
        case 'G': {
            progress_row p;
            if (auto e = decode(r, p)) return bad(e);
            return "progress " + names.of(p.subscription) + "/" + text(p.partition) + " start=" + text(p.start) + " cursor=" + text(p.cursor) +
                   text(p.counts);
        }
        case 'F': {
            failure_row f;
            if (auto e = decode(r, f)) return bad(e);
            return "failure " + names.of(f.subscription) + "/" + text(f.partition) + " " + text(f.at) + " count=" + text(f.count) +
                   (f.parked ? " parked \"" + f.reason + "\"" : " due=" + text(f.due));
        }
        case 'H': {
            hand_over_row h;
            if (auto e = decode(r, h)) return bad(e);
            return "hand-over " + names.of(h.subscription) + "/" + text(h.partition) + " " + text(h.at) + " failures=" + text(h.failures) + " \"" +
                   h.reason + "\"";
        }
        case 'N': return "producer " + mutation_printer::key(r.key).substr(2);
        case 'Q': return "producer position " + mutation_printer::key(r.key).substr(2);
        case 'B': return print_block(r);
        default: return "UNKNOWN ROW " + r.key;
    }
}

}  // namespace millrace::core::testing
