#include "broker/core/shard.hpp"

#include <limits>
#include <utility>

#include "broker/core/invariant.hpp"

namespace millrace::core {
namespace {

/// Ages are looked at so often.
constexpr auto age_interval = std::chrono::seconds{1};
/// What could not be read is tried again after so long.
constexpr auto reread_interval = std::chrono::seconds{1};

}  // namespace

void shard::step(timestamp now, const any_input& in, effects& out) {
    invariant(now >= now_, "time went back", static_cast<std::uint64_t>(now.time_since_epoch().count()),
              static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    now_ = now;
    out_ = &out;
    if (!opened_at_) begin_time(now);
    std::visit([this](const auto& what) { perform(what); }, in);
    out_ = nullptr;
}

bool shard::has_open_group() const {
    return !mutations_.empty() || !catalog_rows_.empty() || !dirty_logs_.empty() || !dirty_progress_.empty() || producers_.has_changes();
}

group shard::close_group() {
    invariant(has_open_group(), "closing an empty group");
    const auto number = open_.number;
    group g{number, {}};
    for (const auto id : dirty_logs_) {
        auto& log = *find_log(id);
        if (log.has_open()) open_.appended.push_back(id);
        log.close_entries(number, g.mutations);
    }
    for (auto& m : mutations_) g.mutations.push_back(std::move(m));
    const auto put = [&](row r) { g.mutations.push_back(put_row{std::move(r.key), std::move(r.value)}); };
    for (auto& [key, value] : catalog_rows_) {
        if (value)
            put({key, std::move(*value)});
        else
            g.mutations.push_back(erase_row{key});
    }
    producers_.take_changes(g.mutations);
    for (const auto id : dirty_logs_) put(encode(find_log(id)->to_row()));
    for (const auto& [id, partition] : dirty_progress_) {
        auto& p = find_subscription(id)->partitions[partition];
        put(encode(p.to_row()));
        auto rows = p.take_row_changes();
        for (auto& r : rows.put) put(std::move(r));
        for (auto& key : rows.erase) g.mutations.push_back(erase_row{std::move(key)});
        const auto changes = p.take_changes();
        for (const auto& block : changes.put) put(encode(id, partition, block));
        for (const auto block : changes.erase) g.mutations.push_back(erase_row{block_key(id, partition, block)});
    }
    dirty_logs_.clear();
    dirty_progress_.clear();
    mutations_.clear();
    catalog_rows_.clear();
    in_flight_.push_back(std::exchange(open_, {}));
    last_closed_ = number;
    open_.number = open_number();
    return g;
}

void shard::perform(const input::committed& c) {
    std::set<subscription_id> touched;
    while (!in_flight_.empty() && in_flight_.front().number <= c.number) {
        auto done = std::move(in_flight_.front());
        in_flight_.pop_front();
        durable_ = done.number;
        for (auto& a : done.answers) release(std::move(a));
        for (auto& e : done.ended) out_->ended.push_back(std::move(e));
        for (auto& h : done.hand_overs) out_->hand_overs.push_back(std::move(h));
        for (const auto id : done.appended) {
            auto* t = find_topic(id.topic);
            auto* log = find_log(id);
            if (!log || !log->commit(done.number)) continue;
            for (const auto& [name, sub] : t->subscriptions) {
                find_subscription(sub)->work.insert(id.index);
                touched.insert(sub);
            }
            if (log->kept_to() < log->low()) reclaim(*t, *log);
            trim(*t, *log);
            enforce_limits(*t, *log);
        }
    }
    for (const auto id : touched)
        if (auto* s = find_subscription(id)) pump(*s);
}

void shard::reply(origin to, any_answer what) {
    answer a{to, std::move(what)};
    if (has_open_group())
        open_.answers.push_back(std::move(a));
    else if (!in_flight_.empty())
        in_flight_.back().answers.push_back(std::move(a));
    else
        release(std::move(a));
}

void shard::release(answer&& a) {
    const auto* subscribed = std::get_if<answers::subscribed>(&a.what);
    const auto id = subscribed ? holder_id{a.to.session, subscribed->consumer} : holder_id{};
    const auto opens = subscribed != nullptr;
    out_->answered.push_back(std::move(a));
    if (!opens) return;
    if (auto* c = find_consumer(id.session, id.consumer)) {
        c->active = true;
        feed(*c);
    }
}

void shard::request_entries(partition_log& log, sequence from) {
    if (log.begin_load(from)) out_->loads.push_back(load_entries{log.id(), from, settings_.load_bytes});
}

void shard::request_blocks(const subscription& s, std::uint32_t partition, std::uint64_t block) {
    if (loading_blocks_.emplace(s.row.id, partition).second)
        out_->loads.push_back(load_blocks{s.row.id, partition, block, settings_.load_blocks});
}

void shard::perform(const input::loaded_entries& l) {
    auto* t = find_topic(l.partition.topic);
    auto* log = find_log(l.partition);
    if (!log) return;
    log->finish_load(l.from, l.entries);
    for (const auto& [name, id] : t->subscriptions) {
        auto& s = *find_subscription(id);
        s.work.insert(l.partition.index);
        pump(s);
    }
    reclaim(*t, *log);
    if (!l.entries.empty()) free_holes(*t, *log, l.entries.front()->first, l.entries.back()->last());
    enforce_limits(*t, *log);
    trim(*t, *log);
}

void shard::perform(const input::loaded_blocks& l) {
    loading_blocks_.erase({l.subscription, l.partition});
    auto* s = find_subscription(l.subscription);
    if (!s || s->inconsistent) return;
    const auto to = l.complete || l.rows.empty() ? std::numeric_limits<std::uint64_t>::max() : l.rows.back().last;
    const auto next = find_log({s->row.topic, l.partition})->next();
    if (auto wrong = s->partitions[l.partition].contradiction(l.from, to, l.rows, next); !wrong.empty()) return quarantine(*s, l.partition, wrong);
    const auto cursor = s->partitions[l.partition].cursor();
    if (s->partitions[l.partition].load(l.from, to, l.rows)) progressed(*s, l.partition, cursor, s->partitions[l.partition].cursor() - 1);
    s->work.insert(l.partition);
    resume_parked([&](const parked& p) { return p.subscription == l.subscription && p.partition == l.partition; });
    s = find_subscription(l.subscription);
    if (!s) return;
    auto& t = *find_topic(s->row.topic);
    const auto& settled = s->partitions[l.partition].settled();
    const auto known_to = sequence{std::min(settled.first_unknown_block({l.from * settled_set::block_size}), t.logs[l.partition].high().value / settled_set::block_size + 1) *
                                   settled_set::block_size};
    free_holes(t, t.logs[l.partition], {l.from * settled_set::block_size}, known_to - 1);
    enforce_limits(t, t.logs[l.partition]);  // what is to expire may have waited for these blocks
    pump(*s);
}

void shard::resume_parked(const std::function<bool(const parked&)>& which) {
    auto waiting = std::exchange(parked_, {});
    for (auto& p : waiting) {
        if (which(p))
            std::visit([this](const auto& what) { perform(what); }, p.command);
        else
            parked_.push_back(std::move(p));
    }
}

void shard::perform(const input::read_failed& f) {
    auto* log = find_log(f.partition);
    if (!log) return;
    log->abandon_load(f.from);
    read_again_later();
    failed_reads_.insert(f.partition);
}

void shard::read_again_later() {
    if (failed_reads_.empty() && failed_scans_.empty()) reread_at_ = now_ + reread_interval;
    wake_at(reread_at_);
}

/// Whoever waits for what could not be read asks for it again.
void shard::retry_reads() {
    if (failed_reads_.empty() && failed_scans_.empty()) return;
    if (now_ < reread_at_) return wake_at(reread_at_);
    for (const auto& [key, block] : std::exchange(failed_scans_, {}))
        if (const auto* s = find_subscription(key.first); s && !s->inconsistent) request_blocks(*s, key.second, block);
    for (const auto id : std::exchange(failed_reads_, {})) {
        auto* log = find_log(id);
        if (log) look_again(*find_topic(id.topic), *log);
    }
}

/// Something is known of the log that its readers may have waited for.
void shard::look_again(topic& t, partition_log& log) {
    for (const auto& [name, id] : t.subscriptions) {
        auto& s = *find_subscription(id);
        s.work.insert(log.id().index);
        pump(s);
    }
    reclaim(t, log);
    if (const auto waits = to_free_.find(log.id()); waits != to_free_.end() && !waits->second.empty()) {
        const auto [first, last] = *waits->second.begin();
        free_holes(t, log, first, last);
    }
    enforce_limits(t, log);
    trim(t, log);
}

void shard::perform(const input::tick&) {
    deadline_.reset();
    for (const auto& what : std::exchange(arrived_, {})) perform(input::moved{what, {}});
    if (adopting_ && now_ - *opened_at_ >= settings_.adoption_wait) {
        adopting_ = false;
        for (auto& [id, s] : subscriptions_) {
            for (const auto& p : s.partitions) s.work.insert(p.partition());
            pump(s);
        }
    }
    if (adopting_) wake_at(*opened_at_ + settings_.adoption_wait);
    fire_timers();
    retry_hand_overs();
    retry_reads();
    check_ages();
}

void shard::note_aging(const topic& t) {
    if (is_elsewhere(t)) return;
    if (t.row.settings.keep_age.count() > 0 || t.row.settings.max_age.count() > 0)
        aging_.insert(t.row.id);
    else
        aging_.erase(t.row.id);
}

void shard::check_ages() {
    if (std::exchange(just_recovered_, false))
        for (auto& [id, t] : topics_) tidy(t, true);
    if (now_ >= next_age_check_) {
        next_age_check_ = now_ + age_interval;
        for (const auto id : producers_.idle(now_)) {
            if (settings_.place.count > 1)
                out_->idle_producers.push_back(id);  // the others forget it first: whatever a crash leaves, no position is without its producer
            else
                producers_.forget(id, now_);
        }
        for (const auto id : aging_) tidy(topics_.at(id), false);
    }
    if (!aging_.empty()) wake_at(next_age_check_);
}

void shard::tidy(topic& t, bool is_recovered) {
    for (auto& log : t.logs) {
        reclaim(t, log);
        if (is_recovered) free_all_holes(t, log);  // what was settled before the restart, and not free yet: it had to be read first
        enforce_limits(t, log);
    }
}

void shard::check() const {
    for (const auto& [id, s] : subscriptions_) {
        const auto& t = topics_.at(s.row.topic);
        if (s.inconsistent) continue;
        for (const auto& p : s.partitions) p.check(t.logs[p.partition()].high());
    }
}

}  // namespace millrace::core
