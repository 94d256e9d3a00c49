#include "broker/core/shard.hpp"

#include <limits>
#include <utility>

#include "broker/core/invariant.hpp"

namespace millrace::core {
namespace {

/// Ages are looked at so often.
constexpr auto age_interval = std::chrono::seconds{1};

}  // namespace

result<shard> shard::recover(const shard_settings& settings, const std::vector<row>& rows) {
    shard s(settings);
    std::vector<progress_row> progress_rows;
    std::vector<log_row> log_rows;
    std::vector<failure_row> failures;
    std::vector<hand_over_row> hand_overs;
    for (const auto& r : rows) {
        error bad;
        switch (r.key.empty() ? '\0' : r.key.front()) {
            case 'M': bad = decode(r, s.meta_); break;
            case 'G': bad = decode(r, progress_rows.emplace_back()); break;
            case 'N':
            case 'Q': bad = s.producers_.recover(r); break;
            case 'F': bad = decode(r, failures.emplace_back()); break;
            case 'H': bad = decode(r, hand_overs.emplace_back()); break;
            case 'P': bad = decode(r, log_rows.emplace_back()); break;
            case 'T': {
                topic t;
                bad = decode(r, t.row);
                s.names_[t.row.name] = t.row.id;
                s.topics_.emplace(t.row.id, std::move(t));
                break;
            }
            case 'S': {
                subscription sub;
                bad = decode(r, sub.row);
                s.subscriptions_.emplace(sub.row.id, std::move(sub));
                break;
            }
            default: bad = {errc::corruption, "a row of an unknown table '" + r.key.substr(0, 1) + "'"};
        }
        if (bad) return bad;
    }
    for (const auto& l : log_rows) {
        auto* t = s.find_topic(l.partition.topic);
        if (!t || l.partition.index != t->logs.size())
            return error{errc::corruption, "a log row of partition " + std::to_string(l.partition.index) + " has no topic or no predecessor"};
        t->logs.emplace_back(l);
        ++s.logs_;
    }
    for (auto& [id, sub] : s.subscriptions_) {
        auto* t = s.find_topic(sub.row.topic);
        if (!t) return error{errc::corruption, "subscription '" + sub.row.name + "' has no topic"};
        t->subscriptions[sub.row.name] = id;
    }
    for (const auto& p : progress_rows) {
        auto* sub = s.find_subscription(p.subscription);
        if (!sub || p.partition != sub->partitions.size() || p.cursor - p.start > p.counts.total())
            return error{errc::corruption, "the progress of a subscription in partition " + std::to_string(p.partition) + " does not fit"};
        sub->partitions.emplace_back(p);
        sub->work.insert(p.partition);
    }
    const auto progress_of = [&](subscription_id id, std::uint32_t partition) -> progress* {
        auto* sub = s.find_subscription(id);
        return sub && partition < sub->partitions.size() ? &sub->partitions[partition] : nullptr;
    };
    for (const auto& f : failures) {
        auto* p = progress_of(f.subscription, f.partition);
        if (!p) return error{errc::corruption, "a failed message " + std::to_string(f.at.value) + " has no subscription"};
        p->recover(f);
        s.arm(*s.find_subscription(f.subscription), f.partition);
    }
    for (const auto& h : hand_overs) {
        auto* p = progress_of(h.subscription, h.partition);
        if (!p) return error{errc::corruption, "a dead message " + std::to_string(h.at.value) + " has no subscription"};
        p->recover(h);
        s.stalled_.push_back(s.hand_over_of(*s.find_subscription(h.subscription), h));
    }
    for (auto& [id, t] : s.topics_) {
        if (t.logs.size() != t.row.settings.partitions)
            return error{errc::corruption, "topic '" + t.row.name + "' has " + std::to_string(t.logs.size()) + " of " +
                                               std::to_string(t.row.settings.partitions) + " partitions"};
        for (const auto& [name, sub] : t.subscriptions)
            if (s.subscriptions_.at(sub).partitions.size() != t.logs.size())
                return error{errc::corruption, "subscription '" + name + "' does not cover every partition of its topic"};
        for (auto& log : t.logs) {
            log.set_low(s.low_of(t, log.id().index));
        }
    }
    for (auto& [id, sub] : s.subscriptions_)
        for (auto& p : sub.partitions) {
            p.expect_returns(s.find_log({sub.row.topic, p.partition()})->high());
            s.adopting_ |= p.may_be_held();
        }
    s.just_recovered_ = !s.topics_.empty();
    if (s.just_recovered_) s.deadline_ = timestamp{};
    s.open_.number = s.open_number();
    return s;
}

void shard::step(timestamp now, const any_input& in, effects& out) {
    invariant(now >= now_, "time went back", static_cast<std::uint64_t>(now.time_since_epoch().count()),
              static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    now_ = now;
    out_ = &out;
    if (!opened_at_) opened_at_ = now;
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
    if (!s) return;
    const auto to = l.complete || l.rows.empty() ? std::numeric_limits<std::uint64_t>::max() : l.rows.back().last;
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
    if (auto* log = find_log(f.partition)) log->abandon_load(f.from);
}

void shard::perform(const input::tick&) {
    deadline_.reset();
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
    check_ages();
}

void shard::check_ages() {
    const auto all = std::exchange(just_recovered_, false);
    const auto due = now_ >= next_age_check_;
    if (due) {
        next_age_check_ = now_ + age_interval;
        producers_.forget_idle(now_);
    }
    for (auto& [id, t] : topics_) {
        const auto ages = t.row.settings.keep_age.count() > 0 || t.row.settings.max_age.count() > 0;
        if (ages) wake_at(next_age_check_);
        if (!all && !(ages && due)) continue;
        for (auto& log : t.logs) {
            reclaim(t, log);
            enforce_limits(t, log);
        }
    }
}

void shard::check() const {
    for (const auto& [id, s] : subscriptions_) {
        const auto& t = topics_.at(s.row.topic);
        for (const auto& p : s.partitions) p.check(t.logs[p.partition()].high());
    }
}

}  // namespace millrace::core
