// A shard under random work and random faults, through the driver and the memory store: commits and reads take their time, sessions are lost, the
// broker is thrown away and recovered. A ledger that knows only answers and pushes says whether every promise was kept; at the end the faults
// stop and everything must settle. What happens is decided from outside: by a generator with a seed, or by the bytes of a fuzzer.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "broker/driver/driver.hpp"
#include "broker/storage/memory_store.hpp"
#include "proto/record.hpp"
#include "tests/core/ledger.hpp"

namespace millrace::core::testing {

inline constexpr shard_id the_shard{0};

struct faults {
    int restart = 0, session_lost = 0, purge = 0, catalog = 0, failure = 0;  // chances in 1000 steps
    int read = 0;                                                            // in 1000 reads and scans: the store fails, and may not the next time
};

/// The first broken promise throws std::logic_error; a broken invariant of the core aborts.
class world {
public:
    /// A number below its argument, which is at least 1.
    using decide = std::function<std::uint64_t(std::uint64_t)>;

    world(decide number, const faults& chances) : decide_(std::move(number)), chances_(chances), store_(storage::make_memory_store()) {
        shard_settings_.level = durability::memory;
        shard_settings_.load_bytes = 1u << below(13);
        shard_settings_.load_blocks = static_cast<std::uint32_t>(1 + below(3));
        shard_settings_.window_messages = 1;  // the least there is for each partition
        driver_settings_.tail_cache_bytes = 1 + below(20'000);
        driver_settings_.read_cache_bytes = 1 + below(20'000);
        driver_settings_.scrub_bytes_per_second = driver_settings_.tail_cache_bytes % 2 * 50'000;
        start();
        make_topic("one", 1);
        make_topic("three", 3);
        make_topic("dead", 2);
        make_subscription("one", "a", {}, 2, "dead");
        make_subscription("one", "b", {}, 0, "");
        make_subscription("three", "a", {}, 3, "dead");
        make_subscription("dead", "a", {}, 0, "");
    }

    void run(int steps) {
        for (int i = 0; i < steps; ++i) random_step();
    }

    /// No more faults: everything published is given out, acked, and its space given back.
    void come_to_rest() {
        chances_ = {};
        for (const auto& [id, sub] : subscriptions_) open_consumer(id);
        for (int round = 0; !at_rest(); ++round) {
            if (round > 20'000) throw std::logic_error("does not come to rest");
            now_ += std::chrono::milliseconds{500};
            tell_time();
            settle_io();
            for (auto& [id, c] : consumers_) {
                c.credit += 1000;
                submit(input::credit{id.session, id.consumer, 1000, 1'000'000});
                while (c.answered && !c.held.empty()) ack_some(id, c, c.held.size() - 1);
            }
        }
        books_.settle_accounts();
        for (const auto& [name, id] : topics_)
            for (std::uint32_t p = 0; p < 3; ++p)
                if (!store_->read({id, p}, {}, 1u << 30).value().empty()) throw std::logic_error("settled entries are still in the store");
    }

    std::uint64_t deliveries() const { return books_.deliveries(); }
    std::uint64_t arrivals() const { return books_.arrivals(); }

private:
    struct held_run {
        partition_id partition;
        sequence first, last;
        std::uint32_t attempt;
    };
    struct consumer_view {
        subscription_id subscription{};
        bool answered = false;
        std::uint64_t credit = 0;
        std::vector<held_run> held;
        std::map<partition_id, sequence> next_first_delivery;
    };
    struct read_under_way {
        driver::read_request request;
        std::optional<result<std::vector<storage::stored_entry>>> found;
    };
    struct scan_under_way {
        driver::scan_request request;
        std::optional<result<std::vector<row>>> found;
    };
    struct publish_under_way {
        partition_id partition;
        std::vector<std::string> payloads;
    };
    enum class handing_in { ack, reject, other };
    struct ack_under_way {
        handing_in what = handing_in::ack;
        subscription_id subscription{};
        topic_id topic{};
        std::vector<lease_range> ranges;
    };

    std::uint64_t below(std::uint64_t n) { return decide_(n); }
    bool chance(int in_1000) { return below(1000) < static_cast<std::uint64_t>(in_1000); }
    origin next_origin(session_id session) { return {session, request_id{++last_request_}}; }

    // ---- the broker's life ----

    void start() {
        epoch_ = store_->open(the_shard).value();
        auto recovered = shard::recover(shard_settings_, store_->scan(start_rows(), ~std::size_t{0}).value());
        if (!recovered) throw std::logic_error("cannot recover: " + to_string(recovered.failure()));
        driver_.emplace(std::move(recovered.value()), driver_settings_);
        driver_->shard().check();
    }

    void restart() {
        for (auto keep = below(submitted_.size() + 1); keep > 0; --keep) store_next();
        submitted_.clear();
        stored_.clear();
        reads_.clear();
        scans_.clear();
        publishing_.clear();
        for (const auto& [id, c] : consumers_) remember_tokens(c);
        adopting_.clear();
        for (const auto& [id, ack] : acking_)
            for (const auto& r : ack.ranges) books_.ack_unanswered(ack.subscription, {ack.topic, r.partition}, r.first, r.last);
        acking_.clear();
        consumers_.clear();
        start();
    }

    void submit(const any_input& in) {
        driver_->submit(now_, in);
        collect();
    }

    void collect() {
        driver_->shard().check();
        auto what = driver_->take_actions();
        if (what.fatal) throw std::logic_error("fatal: " + to_string(what.fatal));
        if (!what.closes.empty() && chances_.read == 0) throw std::logic_error("a session was closed: " + to_string(what.closes.front().why));
        for (auto& a : what.answers) answered(a);
        for (auto& p : what.pushes) pushed(p);
        for (auto& e : what.ended) consumers_.erase({e.session, e.consumer});
        for (auto& c : what.commits) submitted_.push_back(std::move(c));
        for (auto& r : what.reads) reads_.push_back({r, std::nullopt});
        for (auto& s : what.scans) scans_.push_back({s, std::nullopt});
        for (const auto& c : what.closes) lose_session(c.session);  // what was on its way to it cannot be read
    }

    // ---- the store's time ----

    void store_next() {
        auto group = std::move(submitted_.front());
        submitted_.pop_front();
        error failed;
        store_->commit(the_shard, epoch_, std::move(group.mutations), [&](error e) { failed = std::move(e); });
        if (failed) throw std::logic_error("commit: " + to_string(failed));
        stored_.push_back(group.number);
    }

    void commit_next() {
        const auto number = stored_.front();
        stored_.pop_front();
        driver_->on_committed(now_, number, {});
        collect();
    }

    /// A read sees the store at one moment and is told at a later one.
    void read_next() {
        auto& next = reads_[below(reads_.size())];
        if (!next.found) {
            next.found = store_->read(next.request.partition, next.request.from, next.request.bytes);
            return;
        }
        auto done = std::move(next);
        std::swap(next, reads_.back());
        reads_.pop_back();
        if (chance(chances_.read)) done.found = error{errc::storage_failure, "a read that fails"};
        driver_->on_read(now_, done.request, std::move(*done.found));
        collect();
    }

    void scan_next() {
        auto& next = scans_.front();
        if (!next.found) {
            next.found = store_->scan(next.request.range, next.request.limit);
            return;
        }
        auto done = std::move(next);
        scans_.pop_front();
        if (chance(chances_.read)) done.found = error{errc::storage_failure, "a scan that fails"};
        driver_->on_scanned(now_, done.request, std::move(*done.found));
        collect();
    }

    void tell_time() {
        const auto deadline = driver_->next_deadline();
        if (!deadline || *deadline > now_) return;
        driver_->on_time(now_);
        collect();
    }

    void store_step() {
        tell_time();
        switch (below(5)) {
            case 0: driver_->flush(now_); return collect();
            case 1: return submitted_.empty() ? void() : store_next();
            case 2: return stored_.empty() ? void() : commit_next();
            case 3: return reads_.empty() ? void() : read_next();
            default: return scans_.empty() ? void() : scan_next();
        }
    }

    bool io_under_way() const {
        return !driver_->idle() || !submitted_.empty() || !stored_.empty() || !reads_.empty() || !scans_.empty();
    }

    void settle_io() {
        for (int i = 0; io_under_way(); ++i) {
            if (i > 200'000) throw std::logic_error("reads or commits go on for ever");
            store_step();
        }
    }

    bool at_rest() {
        settle_io();
        for (const auto& [id, c] : consumers_)
            if (!c.held.empty()) return false;
        for (const auto& [name, id] : topics_) {
            const auto info = call<answers::topic_info>(input::describe_topic{next_origin(admin), name});
            for (const auto& p : info.partitions)
                if (p.start != p.high || p.bytes != 0 || p.backlog != 0) return false;
        }
        return true;
    }

    // ---- catalog: every call is waited for ----

    template <class Answer>
    Answer call(const any_input& in) {
        catalog_answer_.reset();
        submit(in);
        for (int i = 0; !catalog_answer_; ++i) {
            if (i > 200'000) throw std::logic_error("a catalog request is never answered");
            if (chances_.read > 0) now_ += std::chrono::milliseconds{1};  // what has failed is asked for again after a while
            store_step();
        }
        if (const auto* refused = std::get_if<error>(&*catalog_answer_)) throw std::logic_error("refused: " + to_string(*refused));
        return std::get<Answer>(*catalog_answer_);
    }

    void make_topic(const std::string& name, std::uint32_t partitions) {
        topic_changes settings;
        settings.partitions = partitions;
        topics_[name] = call<answers::topic_info>(input::create_topic{next_origin(admin), name, settings}).id;
    }

    void make_subscription(const std::string& topic, const std::string& name, start_from start, std::uint32_t max_deliveries,
                           const std::string& dead_letter) {
        subscription_changes policy;
        policy.visibility_timeout = duration{200};
        policy.max_deliveries = max_deliveries;
        policy.backoff_min = duration{20};
        policy.backoff_max = duration{500};
        policy.dead_letter = dead_letter;
        const auto info = call<answers::subscription_info>(input::create_subscription{next_origin(admin), topic, name, policy, start});
        subscriptions_[info.id] = {topic, name};
        for (std::uint32_t p = 0; p < info.partitions.size(); ++p) books_.subscribed(info.id, {topics_[topic], p}, info.partitions[p].start);
    }

    /// A subscription that comes and goes.
    void change_catalog() {
        for (const auto& [id, where] : subscriptions_) {
            if (where.second != "guest") continue;
            const auto gone = id;
            call<answers::done>(input::delete_subscription{next_origin(admin), where.first, where.second, true});
            books_.forget(gone);
            subscriptions_.erase(gone);
            return;
        }
        const auto kind = below(3);
        const auto where = kind == 0 ? start_from::kind::earliest : kind == 1 ? start_from::kind::latest : start_from::kind::sequence;
        // What was settled before is gone: a guest is promised only what comes after it.
        make_subscription("three", "guest", {where, {below(2000)}}, 0, "");
        for (std::uint32_t p = 0; p < 3; ++p) books_.purged({topics_["three"], p}, next_known_[{topics_["three"], p}]);
    }

    // ---- what people do ----

    void random_step() {
        now_ += std::chrono::milliseconds{below(20)};
        if (chance(chances_.restart)) return restart();
        if (chance(chances_.session_lost)) return lose_session();
        if (chance(chances_.purge)) return purge();
        if (chance(chances_.catalog)) return change_catalog();
        if (chance(chances_.failure)) return fail_something();
        switch (below(10)) {
            case 0:
            case 1: return publish();
            case 2: return open_consumer(any_subscription());
            case 3: return change_consumer();
            case 4:
            case 5: return ack_something();
            default: return store_step();
        }
    }

    void publish() {
        const auto which = below(4);
        const partition_id where{topics_[which == 3 ? "one" : "three"], which == 3 ? 0 : static_cast<std::uint32_t>(which)};
        publish_under_way batch{where, {}};
        std::vector<std::byte> records;
        const auto count = chance(20) ? 3000 + below(1097) : 1 + below(40);
        for (std::uint64_t i = 0; i < count; ++i) {
            batch.payloads.push_back(std::to_string(++last_payload_) + std::string(chance(100) ? below(400) : 0, 'x'));
            message m;
            m.payload = batch.payloads.back();
            if (encoder_.append(m, proto::compression::none, records)) throw std::logic_error("a record that cannot be encoded");
        }
        const auto from = next_origin(session_id{1});
        publishing_[from.request] = std::move(batch);
        driver_->publish(now_, {from, where, static_cast<std::uint32_t>(count), durability::memory, records, {}});
        collect();
    }

    subscription_id any_subscription() {
        auto it = subscriptions_.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(below(subscriptions_.size())));
        return it->first;
    }

    void open_consumer(subscription_id id) {
        if (chances_.restart + chances_.session_lost > 0 && consumers_.size() > 8) return;
        const holder_id holder{session_id{100 + below(5)}, consumer_id{++last_consumer_}};
        const auto messages = static_cast<std::uint32_t>(below(300));
        consumers_[holder] = {id, false, messages, {}, {}};
        const auto& [topic, name] = subscriptions_.at(id);
        auto held = tokens_for(id);
        const auto from = next_origin(holder.session);
        adopting_[from.request] = held;
        submit(input::subscribe{from, holder.consumer, topic, name, "", messages, below(20'000), std::move(held)});
    }

    /// What a client that lost its connection still knows.
    void remember_tokens(const consumer_view& c) {
        for (const auto& run : c.held) tokens_[c.subscription].push_back({run.partition.index, run.first, run.last, run.attempt});
    }

    std::vector<lease_range> tokens_for(subscription_id id) {
        std::vector<lease_range> held;
        auto& known = tokens_[id];
        for (auto count = below(4); count > 0 && !known.empty(); --count) {
            held.push_back(known.back());
            known.pop_back();
        }
        return held;
    }

    /// Starts, extends, gives back or fails a piece of what somebody holds; dead letters are only ever acked.
    void fail_something() {
        if (consumers_.empty()) return;
        auto& [id, c] = *any_consumer();
        if (c.held.empty() || !c.answered || subscriptions_.at(c.subscription).first == "dead") return;
        const auto kind = below(8);
        const auto which = below(c.held.size());
        auto& run = c.held[which];
        if (kind < 4) {
            started_ = true;
            return submit(input::start{id.session, id.consumer, {{run.partition.index, run.first, run.last, run.attempt}}});
        }
        const auto from = next_origin(id.session);
        if (kind == 4) {
            const std::vector<lease_range> ranges{{run.partition.index, run.first, run.last, run.attempt}};
            acking_[from.request] = {handing_in::other, c.subscription, run.partition.topic, {}};
            return submit(input::extend{from, id.consumer, ranges});
        }
        const auto last = std::min(run.last, run.first + below(5));
        const std::vector<lease_range> ranges{{run.partition.index, run.first, last, run.attempt}};
        const auto what = kind == 7 && has_dead_letter(c.subscription) ? handing_in::reject : handing_in::other;
        acking_[from.request] = {what, c.subscription, run.partition.topic, what == handing_in::reject ? ranges : std::vector<lease_range>{}};
        if (last == run.last) c.held.erase(c.held.begin() + static_cast<std::ptrdiff_t>(which));
        else run.first = last + 1;
        if (kind == 5) return submit(input::nack{from, id.consumer, ranges, "failed"});
        if (what == handing_in::reject) return submit(input::reject{from, id.consumer, ranges, "bad"});
        submit(input::release{from, id.consumer, ranges});
    }

    void change_consumer() {
        if (consumers_.empty()) return;
        auto& [id, c] = *any_consumer();
        if (chance(50)) {
            const auto leaving = id;
            consumers_.erase(leaving);
            return submit(input::unsubscribe{next_origin(leaving.session), leaving.consumer});
        }
        const auto more = below(500);
        c.credit += more;
        submit(input::credit{id.session, id.consumer, static_cast<std::uint32_t>(more), below(50'000)});
    }

    std::map<holder_id, consumer_view>::iterator any_consumer() {
        auto it = consumers_.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(below(consumers_.size())));
        return it;
    }

    void ack_something() {
        if (consumers_.empty()) return;
        auto& [id, c] = *any_consumer();
        if (!c.answered) return;  // it may never be: its subscription may be gone
        if (!c.held.empty() && !chance(100)) return ack_some(id, c, below(c.held.size()));
        if (subscriptions_.at(c.subscription).first == "dead") return;  // a letter may have been given out and never have reached anybody
        // Somebody else's, or nobody's: what comes back as lost is not settled, the rest is.
        const auto topic = topics_[subscriptions_.at(c.subscription).first];
        const partition_id where{topic, 0};
        const auto high = next_known_[where];
        if (high == sequence{}) return;
        const sequence first{below(high.value)};
        send_ack(id, c, {{0, first, std::min(first + below(20), high - 1), 99}});
    }

    /// Acks a piece of the run at `which`, anywhere in it.
    void ack_some(holder_id id, consumer_view& c, std::size_t which) {
        const auto run = c.held[which];
        auto first = run.first;
        auto last = run.last;
        if (chance(300)) first = first + below(last - first + 1);
        if (chance(300)) last = first + below(last - first + 1);
        c.held.erase(c.held.begin() + static_cast<std::ptrdiff_t>(which));
        if (run.first < first) c.held.push_back({run.partition, run.first, first - 1, run.attempt});
        if (last < run.last) c.held.push_back({run.partition, last + 1, run.last, run.attempt});
        send_ack(id, c, {{run.partition.index, first, last, run.attempt}});
    }

    void send_ack(holder_id id, const consumer_view& c, std::vector<lease_range> ranges) {
        if (!c.answered) return;
        const auto from = next_origin(id.session);
        acking_[from.request] = {handing_in::ack, c.subscription, topics_[subscriptions_.at(c.subscription).first], ranges};
        submit(input::ack{from, id.consumer, std::move(ranges)});
    }

    void lose_session() { lose_session(session_id{100 + below(5)}); }

    void lose_session(session_id lost) {
        for (const auto& [id, c] : consumers_)
            if (id.session == lost) remember_tokens(c);
        std::erase_if(consumers_, [&](const auto& c) { return c.first.session == lost; });
        submit(input::session_lost{lost});
    }

    void purge() {
        const auto name = chance(500) ? "one" : "three";
        for (auto& [where, next] : next_known_)
            if (where.topic == topics_[name]) books_.purged(where, next);
        call<answers::done>(input::purge_topic{next_origin(admin), name});
        for (auto& [where, next] : next_known_)
            if (where.topic == topics_[name]) books_.purged(where, next);
    }

    // ---- what the broker says ----

    void answered(const answer& a) {
        if (a.to.session == admin) {
            catalog_answer_ = a.what;
            return;
        }
        if (const auto* p = std::get_if<answers::published>(&a.what)) {
            auto done = publishing_.extract(a.to.request);
            const auto& batch = done.mapped();
            books_.published(batch.partition, p->first, batch.payloads);
            auto& next = next_known_[batch.partition];
            next = std::max(next, p->first + batch.payloads.size());
        } else if (const auto* s = std::get_if<answers::subscribed>(&a.what)) {
            const auto it = consumers_.find({a.to.session, s->consumer});
            if (it == consumers_.end()) return;
            it->second.answered = true;
            adopted(it->second, s->topic, adopting_.extract(a.to.request).mapped(), s->lost);
        } else if (const auto* acked = std::get_if<answers::acked>(&a.what)) {
            ack_answered(acking_.extract(a.to.request).mapped(), acked->lost);
        } else if (const auto* refused = std::get_if<error>(&a.what)) {
            if (refused->code != errc::no_such_consumer && refused->code != errc::invalid_argument && refused->code != errc::no_such_subscription)
                throw std::logic_error("refused: " + to_string(*refused));
        }
    }

    void adopted(consumer_view& c, topic_id topic, const std::vector<lease_range>& shown, const std::vector<lease_range>& lost) {
        started_ |= !shown.empty();
        for (const auto& range : shown)
            for (auto at = range.first; at <= range.last; ++at)
                if (!names(lost, range.partition, at)) c.held.push_back({{topic, range.partition}, at, at, range.attempt});
    }

    static bool names(const std::vector<lease_range>& ranges, std::uint32_t partition, sequence at) {
        return std::any_of(ranges.begin(), ranges.end(), [&](const auto& r) { return r.partition == partition && r.first <= at && at <= r.last; });
    }

    void ack_answered(const ack_under_way& done, const std::vector<lease_range>& lost) {
        for (const auto& range : done.ranges) {
            for (auto at = range.first; at <= range.last; ++at) {
                if (names(lost, range.partition, at)) continue;
                if (done.what == handing_in::reject)
                    books_.rejected(done.subscription, {done.topic, range.partition}, at, at);
                else
                    books_.acked(done.subscription, {done.topic, range.partition}, at, at);
            }
            if (range.attempt != 99 && !lost.empty() && !started_) throw std::logic_error("an ack of what its sender held was lost");
        }
    }

    void pushed(const driver::push& p) {
        const auto it = consumers_.find({p.session, p.consumer});
        if (it == consumers_.end()) throw std::logic_error("a push to a consumer that is gone");
        auto& c = it->second;
        if (!c.answered) throw std::logic_error("a push before the subscription was answered");
        if (c.credit < p.run.count) throw std::logic_error("a push beyond the credit");
        c.credit -= p.run.count;
        auto rest = p.run.records;
        for (std::uint32_t i = 0; i < p.run.count; ++i) {
            const auto length = proto::record_length(rest);
            message m;
            std::optional<proto::dead_origin> died;
            if (!length || proto::decode_record(rest.first(*length), m, &died)) throw std::logic_error("pushed bytes are no record");
            rest = rest.subspan(*length);
            books_.delivered(c.subscription, p.run.partition, p.run.first + i, m.payload);
            if (died.has_value() != (p.run.partition.topic == topics_["dead"])) throw std::logic_error("an envelope where none should be, or none");
            if (died) letter_arrived(*died, m.payload, {p.run.partition, p.run.first + i});
        }
        if (!rest.empty()) throw std::logic_error("a push with bytes left over");
        auto& next = c.next_first_delivery[p.run.partition];
        if (p.run.attempt == 1) {
            if (p.run.first < next) throw std::logic_error("first deliveries out of order");
            next = p.run.first + p.run.count;
        }
        c.held.push_back({p.run.partition, p.run.first, p.run.first + (p.run.count - 1), p.run.attempt});
        auto& known = next_known_[p.run.partition];
        known = std::max(known, p.run.first + p.run.count);
    }

    void letter_arrived(const proto::dead_origin& died, const std::string& payload, ledger::place where) {
        for (const auto& [id, named] : subscriptions_)
            if (named.first == died.topic && named.second == died.subscription)
                return books_.arrived(id, {topics_[died.topic], died.partition}, died.at, payload, where);
        throw std::logic_error("a dead letter of nobody");
    }

    /// Where there is none, what is rejected would be parked, and its entry never given back.
    bool has_dead_letter(subscription_id id) const { return subscriptions_.at(id).second == "a"; }

    static constexpr session_id admin{0};

    decide decide_;
    faults chances_;
    timestamp now_{std::chrono::seconds{1}};
    shard_settings shard_settings_;
    driver::driver_settings driver_settings_;
    std::unique_ptr<storage::store> store_;
    fencing_epoch epoch_{};
    std::optional<driver::driver> driver_;

    std::deque<group> submitted_;
    std::deque<group_number> stored_;
    std::vector<read_under_way> reads_;
    std::deque<scan_under_way> scans_;

    ledger books_;
    proto::record_encoder encoder_;
    std::map<std::string, topic_id> topics_;
    std::map<subscription_id, std::pair<std::string, std::string>> subscriptions_;
    std::map<holder_id, consumer_view> consumers_;
    std::map<request_id, publish_under_way> publishing_;
    std::map<request_id, ack_under_way> acking_;
    std::map<request_id, std::vector<lease_range>> adopting_;
    std::map<subscription_id, std::vector<lease_range>> tokens_;  // of leases whose session or broker is gone
    bool started_ = false;                                        // some leases may end by themselves
    std::map<partition_id, sequence> next_known_;
    std::optional<any_answer> catalog_answer_;
    std::uint64_t last_request_ = 0;
    std::uint64_t last_payload_ = 0;
    std::uint32_t last_consumer_ = 0;
};

}  // namespace millrace::core::testing
