// Consumers come and go, messages are handed out, and handed in.
#include <algorithm>

#include "broker/core/invariant.hpp"
#include "broker/core/shard.hpp"

namespace millrace::core {

consumer* shard::find_consumer(session_id session, consumer_id id) {
    const auto it = consumers_.find({session, id});
    return it == consumers_.end() ? nullptr : &it->second;
}

void shard::perform(const input::subscribe& c) {
    auto found = named_subscription(c.topic, c.subscription);
    if (!found) return reply(c.from, found.failure());
    auto& s = *found.value();
    const holder_id id{c.from.session, c.consumer};
    const auto [it, added] = consumers_.try_emplace(id, consumer{id, s.row.id, c.name, c.messages, c.bytes, 0, false, false});
    if (!added)
        return reply(c.from, error{errc::consumer_exists, "this session has a consumer " +
                                                              std::to_string(static_cast<std::uint32_t>(c.consumer)) + " already"});
    ++s.consumers;
    reply(c.from, answers::subscribed{c.consumer, s.row.topic, s.row.id, s.row.settings.visibility_timeout});
}

void shard::perform(const input::unsubscribe& c) {
    auto* leaving = find_consumer(c.from.session, c.consumer);
    if (!leaving)
        return reply(c.from, error{errc::no_such_consumer, "this session has no consumer " +
                                                               std::to_string(static_cast<std::uint32_t>(c.consumer))});
    auto& s = *find_subscription(leaving->subscription);
    end_consumer(*leaving);
    pump(s);
    reply(c.from, answers::done{});
}

void shard::perform(const input::session_lost& c) {
    std::set<subscription_id> left;  // given to others when the whole session is gone, not to its own next consumer
    for (;;) {
        const auto it = consumers_.lower_bound({c.session, consumer_id{}});
        if (it == consumers_.end() || it->first.session != c.session) break;
        left.insert(it->second.subscription);
        end_consumer(it->second);
    }
    for (const auto id : left) pump(*find_subscription(id));
}

void shard::end_consumer(consumer& c) {
    auto& s = *find_subscription(c.subscription);
    const auto id = c.id;
    --s.consumers;
    std::erase(s.hungry, &c);
    auto held = c.held;
    consumers_.erase(id);
    for (auto& p : s.partitions) {
        if (held == 0) break;
        const auto count = p.give_back(id);
        if (count == 0) continue;
        held -= count;
        s.work.insert(p.partition());
    }
    invariant(held == 0, "a consumer held more than its leases", held);
}

void shard::perform(const input::credit& c) {
    auto* target = find_consumer(c.session, c.consumer);
    if (!target) return;  // it ended while the credit was on its way
    target->messages += c.messages;
    target->bytes += c.bytes;
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
    auto ready = p.next_ready(log.high());
    if (!ready) {
        if (const auto block = p.missing_block()) request_blocks(s, partition, *block);
        return false;
    }
    const auto index = log.find(ready->first);
    if (!index) {
        sequence hole_last;
        if (const auto* found = log.slot_at(ready->first, &hole_last); found && found->freed) {  // it began after the others had settled them
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
    auto count = index->count_within(ready->first, ready->first + (std::min(share, c.messages) - 1), c.bytes);
    if (count == 0 && c.held > 0) return true;  // its bytes do not suffice: it waits for credit, the next consumer is tried
    count = std::max<std::uint64_t>(count, 1);

    p.grant(*ready, count, c.id);
    const auto last = ready->first + (count - 1);
    out_->delivered.push_back({c.id.session, c.id.consumer, log.id(), ready->first, last, ready->attempt, index});
    c.messages -= count;
    c.bytes -= std::min<std::uint64_t>(c.bytes, index->bytes_between(ready->first, last));
    c.held += count;
    if (c.wants()) {
        c.hungry = true;
        s.hungry.push_back(&c);
    }
    auto& t = *find_topic(s.row.topic);
    if (last == index->last()) release_passed(t, log);
    return true;
}

void shard::perform(const input::ack& c) {
    auto* from = find_consumer(c.from.session, c.consumer);
    if (!from)
        return reply(c.from, error{errc::no_such_consumer, "this session has no consumer " +
                                                               std::to_string(static_cast<std::uint32_t>(c.consumer))});
    auto& s = *find_subscription(from->subscription);
    for (const auto& range : c.ranges) {
        if (range.partition >= s.partitions.size())
            return reply(c.from, error{errc::no_such_partition, "an ack names partition " + std::to_string(range.partition) + " of " +
                                                                    std::to_string(s.partitions.size())});
        const auto high = find_log({s.row.topic, range.partition})->high();
        if (range.first > range.last || range.last >= high)
            return reply(c.from, error{errc::invalid_argument, "an ack names messages " + std::to_string(range.first.value) + " to " +
                                                                   std::to_string(range.last.value) + " of " + std::to_string(high.value)});
    }
    answers::acked answer;
    std::uint64_t released = 0;
    for (const auto& range : c.ranges) {
        const auto settled = s.partitions[range.partition].ack(range, from->id, answer.lost, released);
        if (settled > 0) progressed(s, range.partition, range.first, range.last);
    }
    from->held -= released;
    reply(c.from, std::move(answer));
    feed(*from);
}

}  // namespace millrace::core
