#include "tests/core/stage.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace millrace::core::testing {

/// The words of a line: positional ones in order, options by name.
struct stage::words {
    explicit words(const std::string& line) {
        const auto quote = line.find('"');
        if (quote != std::string::npos) reason = line.substr(quote + 1, line.rfind('"') - quote - 1);
        std::istringstream in(line.substr(0, quote));
        for (std::string word; in >> word;) {
            const auto equals = word.find('=');
            if (equals == std::string::npos)
                positional.push_back(word);
            else
                options[word.substr(0, equals)] = word.substr(equals + 1);
        }
    }

    std::string next() {
        if (positional.empty()) throw std::runtime_error("a word is missing");
        auto word = positional.front();
        positional.pop_front();
        return word;
    }
    bool has(const std::string& word) {
        const auto found = !positional.empty() && positional.front() == word;
        if (found) positional.pop_front();
        return found;
    }
    std::optional<std::string> option(const std::string& name) {
        const auto it = options.find(name);
        if (it == options.end()) return std::nullopt;
        auto value = it->second;
        options.erase(it);
        return value;
    }
    std::optional<std::uint64_t> number(const std::string& name) {
        const auto value = option(name);
        return value ? std::optional<std::uint64_t>(std::stoull(*value)) : std::nullopt;
    }
    std::optional<duration> age(const std::string& name) {
        const auto value = option(name);
        return value ? std::optional<duration>(duration_of(*value)) : std::nullopt;
    }
    session_id session() { return session_id{std::stoull(next().substr(1))}; }
    consumer_id consumer() { return consumer_id{static_cast<std::uint32_t>(std::stoul(next().substr(1)))}; }

    static duration duration_of(const std::string& text) {
        std::size_t used = 0;
        const auto count = static_cast<std::int64_t>(std::stoll(text, &used));
        const auto unit = text.substr(used);
        if (unit == "ms") return duration{count};
        if (unit == "s") return std::chrono::seconds{count};
        throw std::runtime_error("'" + text + "' is not a duration");
    }

    std::deque<std::string> positional;
    std::map<std::string, std::string> options;
    std::string reason;  // what stands in quotes
};

namespace {

durability level_of(const std::string& name) {
    for (const auto level : {durability::memory, durability::buffered, durability::disk, durability::replicated})
        if (name == name_of(level)) return level;
    throw std::runtime_error("'" + name + "' is no durability");
}

template <class Words>
topic_changes topic_changes_of(Words& w) {
    topic_changes c;
    if (auto n = w.number("partitions")) c.partitions = static_cast<std::uint32_t>(*n);
    c.keep_age = w.age("keep_age");
    c.keep_bytes = w.number("keep_bytes");
    c.max_age = w.age("max_age");
    c.max_backlog = w.number("max_backlog");
    if (auto policy = w.option("on_limit")) c.on_limit = *policy == "expire" ? limit_policy::expire : limit_policy::refuse;
    return c;
}

template <class Words>
subscription_changes subscription_changes_of(Words& w) {
    subscription_changes c;
    c.visibility_timeout = w.age("visibility");
    if (auto n = w.number("max_deliveries")) c.max_deliveries = static_cast<std::uint32_t>(*n);
    if (auto backoff = w.option("backoff")) {
        const auto dots = backoff->find("..");
        c.backoff_min = Words::duration_of(backoff->substr(0, dots));
        c.backoff_max = Words::duration_of(backoff->substr(dots + 2));
    }
    c.dead_letter = w.option("dead_letter");
    return c;
}

start_from start_of(const std::string& where) {
    if (where == "earliest") return {start_from::kind::earliest, {}};
    if (where == "latest") return {start_from::kind::latest, {}};
    return {start_from::kind::sequence, {std::stoull(where)}};
}

/// "3-7@2": the attempt is 1 unless said.
lease_range range_of(const std::string& text, std::uint32_t partition) {
    std::size_t used = 0;
    lease_range r{partition, {std::stoull(text, &used)}, {}, 1};
    r.last = r.first;
    auto rest = text.substr(used);
    if (rest.starts_with("-")) {
        r.last = {std::stoull(rest.substr(1), &used)};
        rest = rest.substr(1 + used);
    }
    if (rest.starts_with("@")) r.attempt = static_cast<std::uint32_t>(std::stoul(rest.substr(1)));
    return r;
}

}  // namespace

stage::stage() { recover(); }

std::string stage::perform(const std::string& line) {
    words w(line);
    auto out = command(w);
    if (!w.positional.empty() || !w.options.empty()) throw std::runtime_error("words left over in: " + line);
    return out.empty() ? "ok\n" : out;
}

std::string stage::command(words& w) {
    if (w.has("settings")) {
        if (auto n = w.number("window")) settings_.window_messages = *n;
        if (auto n = w.number("load_blocks")) settings_.load_blocks = static_cast<std::uint32_t>(*n);
        if (auto n = w.number("load_bytes")) settings_.load_bytes = static_cast<std::uint32_t>(*n);
        if (auto d = w.age("adoption_wait")) settings_.adoption_wait = *d;
        if (auto d = w.age("longest_lease")) settings_.longest_lease = *d;
        if (auto name = w.option("level")) settings_.level = level_of(*name);
        return recover();
    }
    if (w.has("publish")) return publish(w);
    if (w.has("close")) return close();
    if (w.has("stored")) return store_closed(), "";
    if (w.has("committed")) return committed(w.positional.empty() ? std::nullopt : std::optional<std::uint64_t>(std::stoull(w.next())));
    if (w.has("commit")) {
        auto closed = close();
        return closed + committed(std::nullopt);
    }
    if (w.has("load")) return answer_loads(false);
    if (w.has("fail-loads")) return answer_loads(true);
    if (w.has("hand-over")) return hand_over(static_cast<std::uint32_t>(w.number("bytes").value_or(100)));
    if (w.has("drop-hand-overs")) return hand_overs_.clear(), "";
    if (w.has("restart")) {
        if (!w.positional.empty()) now_ -= words::duration_of(w.next());
        return recover();
    }
    if (w.has("tamper")) return tamper(w);
    if (w.has("damaged")) {
        const auto where = partition(w.next());
        const auto range = range_of(w.next(), where.index);
        const auto load = w.number("load");
        return step(input::damaged{where, range.first, range.last, load ? std::optional(sequence{*load}) : std::nullopt});
    }
    if (w.has("undelivered")) {
        const auto session = w.session();
        const auto consumer = w.consumer();
        const auto where = partition(w.next());
        return step(input::undelivered{session, consumer, range_of(w.next(), where.index), w.number("bytes").value_or(0)});
    }
    if (w.has("rows")) return dump_rows();
    if (w.has("entries")) return dump_entries();
    if (w.has("sleep")) return now_ += words::duration_of(w.next()), "";
    if (w.has("tick")) {
        if (!w.positional.empty()) now_ += words::duration_of(w.next());
        return step(input::tick{});
    }
    if (w.has("deadline")) {
        const auto deadline = shard_->next_deadline();
        if (!deadline) return "none\n";
        return "in " + std::to_string(std::chrono::duration_cast<duration>(*deadline - now_).count()) + "ms\n";
    }
    if (auto in = catalog_input(w)) return step(*in);
    if (auto in = session_input(w)) return step(*in);
    if (auto in = lease_input(w)) return step(*in);
    throw std::runtime_error("unknown command: " + w.next());
}

std::optional<any_input> stage::catalog_input(words& w) {
    const session_id admin{0};
    if (w.has("topic")) {
        const auto name = w.next();
        return input::create_topic{from(admin), name, topic_changes_of(w)};
    }
    if (w.has("update-topic")) {
        const auto name = w.next();
        return input::update_topic{from(admin), name, topic_changes_of(w)};
    }
    if (w.has("describe-topic")) return input::describe_topic{from(admin), w.next()};
    if (w.has("topics"))
        return input::list_topics{from(admin), w.option("after").value_or(""), static_cast<std::uint32_t>(w.number("limit").value_or(0))};
    if (w.has("metadata")) {
        input::list_metadata m{from(admin), {}};
        while (!w.positional.empty()) m.topics.push_back(w.next());
        return m;
    }
    if (w.has("delete-topic")) {
        const auto name = w.next();
        return input::delete_topic{from(admin), name, w.has("force")};
    }
    if (w.has("purge")) return input::purge_topic{from(admin), w.next()};
    if (w.has("subscription")) {
        const auto topic = w.next();
        const auto name = w.next();
        return input::create_subscription{from(admin), topic, name, subscription_changes_of(w), start_of(w.option("from").value_or("earliest"))};
    }
    if (w.has("update-subscription")) {
        const auto topic = w.next();
        const auto name = w.next();
        return input::update_subscription{from(admin), topic, name, subscription_changes_of(w)};
    }
    if (w.has("describe")) {
        const auto topic = w.next();
        return input::describe_subscription{from(admin), topic, w.next()};
    }
    if (w.has("subscriptions")) return input::list_subscriptions{from(admin), w.next()};
    if (w.has("delete-subscription")) {
        const auto topic = w.next();
        const auto name = w.next();
        return input::delete_subscription{from(admin), topic, name, w.has("force")};
    }
    return std::nullopt;
}

std::optional<any_input> stage::session_input(words& w) {
    if (w.has("subscribe")) {
        const auto session = w.session();
        const auto consumer = w.consumer();
        const auto topic = w.next();
        const auto subscription = w.next();
        input::subscribe c{from(session), consumer, topic, subscription, "", static_cast<std::uint32_t>(w.number("messages").value_or(0)),
                           w.number("bytes").value_or(0), {}};
        if (const auto held = w.option("held")) {
            const auto colon = held->find(':');
            std::istringstream ranges(held->substr(colon + 1));
            for (std::string one; std::getline(ranges, one, ',');) c.held.push_back(range_of(one, partition(held->substr(0, colon)).index));
        }
        return c;
    }
    if (w.has("unsubscribe")) {
        const auto session = w.session();
        return input::unsubscribe{from(session), w.consumer()};
    }
    if (w.has("credit")) {
        const auto session = w.session();
        const auto consumer = w.consumer();
        return input::credit{session, consumer, static_cast<std::uint32_t>(w.number("messages").value_or(0)), w.number("bytes").value_or(0)};
    }
    if (w.has("peek")) {
        const auto session = w.session();
        const auto place = w.next();
        const auto slash = place.find('/');
        return input::peek{from(session), place.substr(0, slash), static_cast<std::uint32_t>(std::stoul(place.substr(slash + 1))),
                           {w.number("at").value_or(0)}, static_cast<std::uint32_t>(w.number("messages").value_or(0)),
                           static_cast<std::uint32_t>(w.number("bytes").value_or(0))};
    }
    if (w.has("producer")) {
        const auto to = from(w.session());
        const auto name = opening_[to] = w.next();
        return input::open_producer{to, name, w.number("incarnation").value_or(0), w.has("returning")};
    }
    if (w.has("lost")) return input::session_lost{w.session()};
    return std::nullopt;
}

std::optional<any_input> stage::lease_input(words& w) {
    static const std::vector<std::string> verbs{"start", "ack", "nack", "reject", "release", "extend"};
    const auto verb = w.positional.front();
    if (std::find(verbs.begin(), verbs.end(), verb) == verbs.end()) return std::nullopt;
    w.next();
    const auto session = w.session();
    const auto consumer = w.consumer();
    std::vector<lease_range> ranges;
    std::uint32_t index = 0;
    while (!w.positional.empty()) {
        const auto word = w.next();
        if (word.find('/') != std::string::npos)
            index = partition(word).index;
        else
            ranges.push_back(range_of(word, index));
    }
    if (verb == "start") return input::start{session, consumer, ranges};
    if (verb == "ack") return input::ack{from(session), consumer, ranges};
    if (verb == "nack") return input::nack{from(session), consumer, ranges, w.reason};
    if (verb == "reject") return input::reject{from(session), consumer, ranges, w.reason};
    if (verb == "release") return input::release{from(session), consumer, ranges};
    return input::extend{from(session), consumer, ranges};
}

/// Wraps every message that was asked for, as the driver does: the shard learns only how large its envelope is.
std::string stage::hand_over(std::uint32_t bytes) {
    std::string out;
    for (const auto& h : std::exchange(hand_overs_, {})) {
        const std::uint32_t ends[] = {bytes};
        out += step(input::handed_over{h.subscription, h.source.index, h.at, ends});
    }
    return out;
}

std::string stage::publish(words& w) {
    const auto session = w.session();
    const auto where = partition(w.next());
    std::vector<std::uint32_t> ends;
    while (!w.positional.empty()) {
        const auto word = w.next();
        const auto bytes = std::stoul(word.substr(word.find('x') + 1));
        for (auto count = std::stoul(word); count > 0; --count) ends.push_back(static_cast<std::uint32_t>((ends.empty() ? 0 : ends.back()) + bytes));
    }
    const auto demanded = w.option("demand");
    batch_claim claim;
    if (const auto as = w.option("as")) {
        const auto colon = as->find(':');
        const auto& producer = producers_.at(as->substr(0, colon));
        claim = {producer.id, producer.epoch, std::stoull(as->substr(colon + 1)), static_cast<std::uint32_t>(w.number("checksum").value_or(0))};
    }
    return step(input::publish{from(session), where, ends, demanded ? level_of(*demanded) : durability::memory, claim});
}

std::string stage::step(const any_input& in) {
    effects out;
    shard_->step(now_, in, out);
    shard_->check();
    for (const auto& l : out.loads) loads_.push_back(l);
    hand_overs_.insert(hand_overs_.end(), out.hand_overs.begin(), out.hand_overs.end());
    for (const auto& a : out.answered)
        if (const auto* opened = std::get_if<answers::producer_opened>(&a.what)) producers_[opening_.extract(a.to).mapped()] = *opened;
    return print(out, names_);
}

/// Changes a stored row of TOPIC/SUBSCRIPTION/PARTITION behind the shard's back.
std::string stage::tamper(words& w) {
    const auto what = w.next();
    const auto place = w.next();
    const auto slash = place.rfind('/');
    const auto owner = std::find_if(names_.subscriptions.rbegin(), names_.subscriptions.rend(), [&](const auto& s) { return s.second == place.substr(0, slash); });
    const auto partition = static_cast<std::uint32_t>(std::stoul(place.substr(slash + 1)));
    auto edit = [&](const std::string& key, auto change) {
        const auto found = store_.scan({key, key + '\0'}, 1);
        if (found.empty()) throw std::runtime_error("there is no such row");
        store_.apply(std::vector<mutation>{change(found.front())});
    };
    if (what == "progress")
        edit(encode(progress_row{owner->first, partition, {}, {}, {}}).key, [&](const row& r) -> mutation {
            if (w.has("erased")) return erase_row{r.key};
            if (w.has("cut")) return put_row{r.key, r.value.substr(1)};
            progress_row p;
            if (auto bad = decode(r, p)) throw std::runtime_error(to_string(bad));
            p.cursor = {w.number("cursor").value_or(p.cursor.value)};
            p.counts.acked = w.number("acked").value_or(p.counts.acked);
            p.counts.parked = w.number("parked").value_or(p.counts.parked);
            auto changed = encode(p);
            return put_row{changed.key, changed.value};
        });
    else if (what == "block")
        edit(block_key(owner->first, partition, std::stoull(w.next())), [&](const row& r) -> mutation {
            if (w.has("erased")) return erase_row{r.key};
            if (!w.has("cut")) throw std::runtime_error("a block is erased or cut");
            return put_row{r.key, r.value.substr(1)};
        });
    else if (what == "failure") {
        const auto r = encode(failure_row{owner->first, partition, {std::stoull(w.next())}, 1, {}, w.has("parked"), {}});
        store_.apply(std::vector<mutation>{put_row{r.key, r.value}});
    } else {
        throw std::runtime_error("nothing to tamper with: " + what);
    }
    return {};
}

std::string stage::close() {
    if (!shard_->has_open_group()) return "nothing to commit\n";
    closed_.push_back(shard_->close_group());
    shard_->check();
    last_closed_ = static_cast<std::uint64_t>(closed_.back().number);
    for (const auto& m : closed_.back().mutations) {
        const auto* put = std::get_if<put_row>(&m);
        topic_row t;
        if (put && put->key.front() == 'T' && !decode(row{put->key, put->value}, t)) names_.topics[t.id] = t.name;
    }
    for (const auto& m : closed_.back().mutations) {
        const auto* put = std::get_if<put_row>(&m);
        subscription_row s;
        if (put && put->key.front() == 'S' && !decode(row{put->key, put->value}, s)) names_.subscriptions[s.id] = names_.of(s.topic) + "/" + s.name;
    }
    auto out = "group " + std::to_string(last_closed_) + "\n";
    for (const auto& m : closed_.back().mutations) out += print(m, names_);
    return out;
}

void stage::store_closed() {
    for (const auto& g : closed_) store_.apply(g.mutations);
    closed_.clear();
}

std::string stage::committed(std::optional<std::uint64_t> number) {
    const auto upto = group_number{number.value_or(last_closed_)};
    while (!closed_.empty() && closed_.front().number <= upto) {
        store_.apply(closed_.front().mutations);
        closed_.pop_front();
    }
    auto out = step(input::committed{upto});
    for (const auto& breach : store_.breaches()) out += "BREACH " + breach + "\n";
    return out;
}

std::string stage::answer_loads(bool fail) {
    std::string out;
    for (auto asked = std::exchange(loads_, {}); !asked.empty(); asked.pop_front()) {
        if (const auto* e = std::get_if<load_entries>(&asked.front())) {
            out += fail ? step(input::read_failed{e->partition, e->from, {errc::storage_failure, "a disk that does not answer"}})
                        : step(input::loaded_entries{e->partition, e->from, store_.read(e->partition, e->from, e->bytes)});
            continue;
        }
        const auto& b = std::get<load_blocks>(asked.front());
        input::loaded_blocks found{b.subscription, b.partition, b.from, {}, false};
        error bad;
        for (const auto& r : store_.scan(block_rows(b.subscription, b.partition, b.from), b.limit))
            if (auto e = decode(r, found.rows.emplace_back())) bad = e;
        if (fail) bad = {errc::storage_failure, "a disk that does not answer"};
        found.complete = found.rows.size() < b.limit;
        out += bad ? step(input::scan_failed{b.subscription, b.partition, b.from, bad}) : step(found);
    }
    return out;
}

/// What was closed and not stored is lost, as in a crash.
std::string stage::recover() {
    auto recovered = shard::recover(settings_, store_.scan(start_rows(), ~std::size_t{0}));
    closed_.clear();
    loads_.clear();
    hand_overs_.clear();
    last_closed_ = 0;
    if (!recovered) return "refused " + to_string(recovered.failure()) + "\n";
    shard_.emplace(std::move(recovered.value()));
    shard_->check();
    std::string out;
    for (const auto& why : shard_->quarantined()) out += "quarantined " + to_string(why) + "\n";
    return out;
}

std::string stage::dump_rows() const {
    std::string out;
    for (const auto& [key, value] : store_.rows()) out += print(row{key, value}, names_) + "\n";
    return out;
}

std::string stage::dump_entries() const {
    std::string out;
    for (const auto& [id, entries] : store_.entries())
        for (const auto& [last, index] : entries)
            out += names_.of(id) + " " + print(index->first, last) + " bytes=" + std::to_string(index->bytes()) + "\n";
    return out.empty() ? "none\n" : out;
}

origin stage::from(session_id session) { return {session, request_id{++requests_[session]}}; }

partition_id stage::partition(const std::string& text) const {
    const auto slash = text.find('/');
    const auto name = text.substr(0, slash);
    const auto index = static_cast<std::uint32_t>(std::stoul(text.substr(slash + 1)));
    if (name.starts_with("#")) return {topic_id{static_cast<std::uint32_t>(std::stoul(name.substr(1)))}, index};
    for (auto it = names_.topics.rbegin(); it != names_.topics.rend(); ++it)
        if (it->second == name) return {it->first, index};
    throw std::runtime_error("no committed topic " + name + ": name it by its id");
}

}  // namespace millrace::core::testing
