// Consumers come and go, and messages are handed out.
#include <algorithm>

#include "broker/core/invariant.hpp"
#include "broker/core/shard.hpp"

namespace millrace::core {

consumer* shard::find_consumer(session_id session, consumer_id id) {
    const auto it = consumers_.find({session, id});
    return it == consumers_.end() ? nullptr : &it->second;
}

/// Parks `command` until the settled blocks behind `ranges` are loaded. False when they are known already.
bool shard::park_until_known(const subscription& s, const std::vector<lease_range>& ranges, const std::function<any_input()>& command) {
    for (const auto& r : ranges) {
        if (r.partition >= s.partitions.size() || r.first > r.last || r.last >= find_log({s.row.topic, r.partition})->high()) continue;
        const auto& settled = s.partitions[r.partition].settled();
        if (settled.knows(r.first, r.last)) continue;
        parked_.push_back({s.row.id, r.partition, command()});
        request_blocks(s, r.partition, settled.first_unknown_block(std::max(r.first, settled.cursor())));
        return true;
    }
    return false;
}

void shard::perform(const input::subscribe& c) {
    auto found = named_subscription(c.topic, c.subscription);
    if (!found) return reply(c.from, found.failure());
    auto& s = *found.value();
    const holder_id id{c.from.session, c.consumer};
    if (find_consumer(id.session, id.consumer))
        return reply(c.from, error{errc::consumer_exists, "this session has a consumer " +
                                                              std::to_string(static_cast<std::uint32_t>(c.consumer)) + " already"});
    if (s.inconsistent) return reply(c.from, s.inconsistent);
    if (park_until_known(s, c.held, [&] { return any_input(c); })) return;
    auto& added = consumers_[id];
    added = {id, s.row.id, c.name, c.messages, 0, 0, false, false};
    added.give_bytes(c.bytes);
    ++s.consumers;
    answers::subscribed answer{c.consumer, s.row.topic, s.row.id, s.row.settings.visibility_timeout, {}};
    for (const auto& r : c.held) {
        const bool was_given = r.partition < s.partitions.size() && r.first <= r.last && r.last < find_log({s.row.topic, r.partition})->high() &&
                               r.attempt <= attempt_max;
        if (!was_given) {
            answer.lost.push_back(r);
            continue;
        }
        const auto is_gone = [this](holder_id h) { return !consumers_.contains(h); };
        added.held += s.partitions[r.partition].adopt(r, id, now_, s.row.settings.visibility_timeout, is_gone, answer.lost);
        arm(s, r.partition);
    }
    reply(c.from, std::move(answer));
}

void shard::perform(const input::unsubscribe& c) {
    const auto waits = std::find_if(parked_.begin(), parked_.end(), [&](const parked& p) {
        const auto* waiting = std::get_if<input::subscribe>(&p.command);
        return waiting && waiting->from.session == c.from.session && waiting->consumer == c.consumer;
    });
    if (waits != parked_.end()) {  // it leaves before it has come
        reply(std::get<input::subscribe>(waits->command).from, error{errc::no_such_consumer, "the consumer was ended before it began"});
        parked_.erase(waits);
        return reply(c.from, answers::done{});
    }
    auto* leaving = find_consumer(c.from.session, c.consumer);
    if (!leaving)
        return reply(c.from, error{errc::no_such_consumer, "this session has no consumer " +
                                                               std::to_string(static_cast<std::uint32_t>(c.consumer))});
    auto& s = *find_subscription(leaving->subscription);
    auto held = leaving->held;
    const auto id = leaving->id;
    remove_consumer(*leaving);
    for (auto& p : s.partitions) {
        if (held == 0) break;
        const auto count = p.give_back(id);
        held -= count;
        if (count > 0) s.work.insert(p.partition());
    }
    invariant(held == 0, "a consumer held more than its leases", held);
    pump(s);
    reply(c.from, answers::done{});
}

/// What the session's consumers had started stays theirs for a while: they may come back and adopt it.
void shard::perform(const input::session_lost& c) {
    // A consumer must not come to life after its session: it would hold messages for ever.
    std::erase_if(parked_, [&](const parked& p) {
        return std::visit(
            [&](const auto& command) {
                if constexpr (requires { command.from.session; }) return command.from.session == c.session;
                return false;
            },
            p.command);
    });
    std::set<subscription_id> left;  // given to others when the whole session is gone, not to its own next consumer
    for (;;) {
        const auto it = consumers_.lower_bound({c.session, consumer_id{}});
        if (it == consumers_.end() || it->first.session != c.session) break;
        auto& s = *find_subscription(it->second.subscription);
        const auto id = it->first;
        auto held = it->second.held;
        left.insert(s.row.id);
        remove_consumer(it->second);
        for (auto& p : s.partitions) {
            if (held == 0) break;
            const auto count = p.orphan(id, now_ + settings_.session_grace);
            held -= count;
            if (count == 0) continue;
            s.work.insert(p.partition());
            arm(s, p.partition());
        }
        invariant(held == 0, "a consumer held more than its leases", held);
    }
    for (const auto id : left) pump(*find_subscription(id));
}

void shard::remove_consumer(consumer& c) {
    auto& s = *find_subscription(c.subscription);
    --s.consumers;
    std::erase(s.hungry, &c);
    consumers_.erase(c.id);
}

void shard::perform(const input::credit& c) {
    auto* target = find_consumer(c.session, c.consumer);
    if (!target) return;  // it ended while the credit was on its way
    target->messages += c.messages;
    target->give_bytes(c.bytes);
    feed(*target);
}

void shard::feed(consumer& c) {
    if (!c.wants()) return;
    auto& s = *find_subscription(c.subscription);
    if (!c.hungry) {
        c.hungry = true;
        s.hungry.push_back(&c);
    }
    pump(s);
}

void shard::pump(subscription& s) {
    if (s.inconsistent) return;
    while (!s.hungry.empty() && !s.work.empty()) {
        // One run for each partition in turn, so that a busy one does not hide the others.
        auto it = s.work.lower_bound(s.next_partition);
        if (it == s.work.end()) it = s.work.begin();
        const auto partition = *it;
        s.next_partition = partition + 1;
        if (!deliver_one(s, partition)) s.work.erase(partition);
    }
}

/// Gives one run of `partition` to the first hungry consumer. False when the partition has nothing to give until something happens to it.
bool shard::deliver_one(subscription& s, std::uint32_t partition) {
    auto& log = *find_log({s.row.topic, partition});
    auto& p = s.partitions[partition];
    if (adopting_ && p.may_be_held()) return false;
    auto ready = p.next_ready(log.high());
    if (!ready) {
        if (const auto block = p.missing_block()) request_blocks(s, partition, *block);
        return false;
    }
    const auto index = log.find(ready->first);
    if (!index) {
        sequence hole_last;
        if (const auto* found = log.slot_at(ready->first, &hole_last); found && found->freed) {  // it began after the others had settled them, or they are damaged
            const auto skipped_last = std::min(ready->last, hole_last);
            p.settle_unleased(ready->first, skipped_last, &settled_counts::skipped);
            progressed(s, partition, ready->first, skipped_last);
            return true;
        }
        request_entries(log, ready->first);
        return false;
    }
    const auto& batch = index->batches[index->batch_of(ready->first)];
    ready->last = std::min(ready->last, batch.last());

    auto& c = *s.hungry.front();
    s.hungry.pop_front();
    c.hungry = false;
    const auto available = ready->last - ready->first + 1;
    const auto share = (available + s.hungry.size()) / (s.hungry.size() + 1);  // the others are hungry too
    const auto count = c.reaches(*index, ready->first, ready->first + (std::min(share, c.messages) - 1));

    p.grant(*ready, count, c.id);
    const auto last = ready->first + (count - 1);
    out_->delivered.push_back({c.id.session, c.id.consumer, log.id(), ready->first, last, ready->attempt, index});
    c.messages -= count;
    c.bytes -= static_cast<std::int64_t>(index->bytes_between(ready->first, last));
    c.held += count;
    s.deliveries += count;
    if (ready->attempt > 1) s.redeliveries += count;
    if (c.wants()) {
        c.hungry = true;
        s.hungry.push_back(&c);
    }
    if (c.reaches_beyond(*index, last)) read_ahead(log, index->last() + 1);
    auto& t = *find_topic(s.row.topic);
    if (last == index->last()) release_passed(t, log);
    return true;
}

/// Who reads the log in order comes to the entry at `from` soon: it is read while that before it is given.
void shard::read_ahead(partition_log& log, sequence from) {
    if (from >= log.high()) return;
    const auto* there = log.slot_at(from);
    if (!there || !(there->index || there->freed)) request_entries(log, from);
}

}  // namespace millrace::core
