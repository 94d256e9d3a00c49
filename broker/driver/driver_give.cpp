// What is given out with its bytes: deliveries, and what somebody looks at.
#include "broker/driver/driver.hpp"

#include <algorithm>
#include <utility>

namespace millrace::driver {

// ---- delivering ----

void driver::deliver(core::delivery&& d) {
    const core::holder_id id{d.session, d.consumer};
    if (!waiting_.contains(id) && try_deliver(d)) return;
    auto& queue = waiting_[id].deliveries;
    queue.push_back(keep(std::move(d), queue));
}

/// The bytes of what has to wait behind others are kept, or asked for. As many are kept as the cache may hold; what is beyond is read again when its turn comes.
driver::waiting_delivery driver::keep(core::delivery&& d, const std::deque<waiting_delivery>& before) {
    const auto* entry = find(d.partition, d.first);
    if (!entry) {
        request_entry(d);
        return {std::move(d), nullptr, nullptr};
    }
    if (!before.empty() && before.back().kept == entry->bytes) return {std::move(d), entry->bytes, before.back().counted};
    const auto size = entry->bytes->size();
    if (kept_bytes_ + size > settings_.read_cache_bytes) return {std::move(d), nullptr, nullptr};
    kept_bytes_ += size;
    return {std::move(d), entry->bytes, std::shared_ptr<void>(nullptr, [this, size](void*) { kept_bytes_ -= size; })};
}

bool driver::try_deliver(const core::delivery& d, const core::entry_bytes& kept) {
    const auto* entry = kept ? nullptr : find(d.partition, d.first);
    if (!kept && !entry) return false;
    const auto& bytes = kept ? kept : entry->bytes;
    const auto& batch = d.entry->batches[d.entry->batch_of(d.first)];
    const auto count = static_cast<std::uint32_t>(d.last - d.first + 1);
    actions_.pushes.push_back({d.session, d.consumer,
                               {d.partition, d.first, count, d.attempt, batch.appended_at, bytes, records_of(*d.entry, *bytes, d.first, d.last)}});
    return true;
}

void driver::drain_waiting(const read_request& done, const std::vector<core::shared_index>& found) {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        auto& queue = it->second.deliveries;
        while (!queue.empty() && try_deliver(queue.front().what, queue.front().kept)) queue.pop_front();
        if (queue.empty() || !shard_.has_consumer(it->first)) {
            it = waiting_.erase(it);
            continue;
        }
        const auto& next = queue.front().what;
        const auto was_read = next.partition == done.partition && next.entry->first == done.from;
        if (was_read && (found.empty() || !found.front()->contains(next.first)))
            actions_.closes.push_back({it->first.session, {errc::corruption, "message " + std::to_string(next.first.value) +
                                                                                 " is leased and not in the store"}});
        else
            request_entry(next);
        ++it;
    }
}

// ---- looking without consuming ----

void driver::browse(const core::origin& to, const core::answers::browse& wanted) {
    if (try_browse(to, wanted)) return;
    browsing_.emplace_back(to, wanted);
    request_read(wanted.partition, wanted.at, reread_bytes);
}

void driver::resume_browsing(const read_request& done, const std::vector<core::shared_index>& found) {
    auto again = std::exchange(browsing_, {});
    for (auto& [to, wanted] : again) {
        if (wanted.partition == done.partition && wanted.at == done.from) {
            // What was asked for may be settled and gone: what follows is shown, or that there is nothing.
            const auto next = found.empty() ? wanted.high : found.front()->first;
            wanted.at = std::max(wanted.at, next);
        }
        browse(to, wanted);
    }
}

bool driver::try_browse(const core::origin& to, const core::answers::browse& wanted) {
    peeked found{to, wanted.start, wanted.high, {}};
    auto at = wanted.at;
    std::uint64_t messages = wanted.messages;
    std::uint64_t bytes = wanted.bytes;
    while (at < wanted.high && messages > 0) {
        const auto* entry = find(wanted.partition, at);
        if (!entry && found.runs.empty()) return false;
        if (!entry) break;
        const auto& index = *entry->index;
        const auto& batch = index.batches[index.batch_of(at)];
        const auto last = std::min(batch.last(), at + (messages - 1));
        auto count = index.count_within(at, last, bytes);
        if (count == 0 && !found.runs.empty()) break;
        count = std::max<std::uint64_t>(count, 1);
        const auto to_sequence = at + (count - 1);
        const auto records = records_of(index, *entry->bytes, at, to_sequence);
        found.runs.push_back({wanted.partition, at, static_cast<std::uint32_t>(count), 0, batch.appended_at, entry->bytes, records});
        messages -= count;
        bytes -= std::min<std::uint64_t>(bytes, records.size());
        at = to_sequence + 1;
    }
    actions_.peeks.push_back(std::move(found));
    return true;
}

}  // namespace millrace::driver
