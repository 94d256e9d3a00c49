// Batches come in; people look.
#include <algorithm>

#include "broker/core/invariant.hpp"
#include "broker/core/shard.hpp"

namespace millrace::core {

void shard::perform(const input::publish& c) {
    invariant(!c.record_ends.empty(), "publishing an empty batch");
    auto* t = find_topic(c.partition.topic);
    if (!t)
        return reply(c.from, error{errc::no_such_topic, "there is no topic with id " +
                                                            std::to_string(static_cast<std::uint32_t>(c.partition.topic)) + ": ask for its metadata again"});
    auto* log = find_log(c.partition);
    if (!log)
        return reply(c.from, error{errc::no_such_partition, "topic '" + t->row.name + "' has no partition " + std::to_string(c.partition.index) +
                                                                ": it has " + std::to_string(t->logs.size())});
    if (c.demanded > settings_.level)
        return reply(c.from, error{errc::durability_unavailable, std::string("the producer demands ") + name_of(c.demanded) +
                                                                     " and the store gives " + name_of(settings_.level)});
    if (c.claim.is_named()) {
        auto judged = producers_.judge(c.claim, c.partition);
        if (judged.refused) return reply(c.from, std::move(judged.refused));
        if (judged.seen) return reply(c.from, answers::published{*judged.seen});
    }
    if (auto refused = refuse_at_limit(*t, *log, c.record_ends.back())) return reply(c.from, std::move(refused));

    const auto where = log->append(now_, c.record_ends);
    out_->taken = accepted{c.partition, where.entry, where.first, log->newest()};
    dirty_logs_.insert(c.partition);
    if (c.claim.is_named()) producers_.taken(c.claim, c.partition, where.first, now_);
    reply(c.from, answers::published{where.first});
}

bool shard::is_new(const batch_claim& claim, partition_id partition) const {
    if (!claim.is_named()) return true;
    const auto judged = producers_.judge(claim, partition);
    return !judged.seen && !judged.refused;
}

void shard::perform(const input::open_producer& c) {
    if (auto refused = check_name("producer", c.name)) return reply(c.from, std::move(refused));
    if (auto refused = c.returning ? producers_.judge_return(c.name, c.incarnation) : error{}) return reply(c.from, std::move(refused));
    auto opened = producers_.open(c.name, c.incarnation, now_, meta_.next_producer);
    put_catalog(encode(meta_));
    reply(c.from, answers::producer_opened{opened.id, opened.epoch, std::move(opened.positions)});
}

void shard::perform(const input::peek& c) {
    auto found = named_topic(c.topic);
    if (!found) return reply(c.from, found.failure());
    const auto& t = *found.value();
    if (c.partition >= t.logs.size())
        return reply(c.from, error{errc::no_such_partition, "topic '" + c.topic + "' has no partition " + std::to_string(c.partition) +
                                                                ": it has " + std::to_string(t.logs.size())});
    const auto& log = t.logs[c.partition];
    // Whatever is asked for: a page that fits into a frame.
    const auto messages = std::min(c.messages, static_cast<std::uint32_t>(limits::batch_messages));
    const auto bytes = std::min(c.bytes, static_cast<std::uint32_t>(limits::batch_bytes));
    reply(c.from, answers::browse{log.id(), std::max(c.at, log.start()), log.start(), log.high(), messages, bytes});
}

}  // namespace millrace::core
