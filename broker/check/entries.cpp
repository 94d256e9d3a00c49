// The entries of a partition: each is read, its checksums are computed, and its place is compared with the log's row.
#include <algorithm>

#include "broker/check/examination.hpp"
#include "broker/driver/stored_entry.hpp"

namespace millrace::check {
namespace {

constexpr std::size_t read_bytes = 4u << 20;

}  // namespace

struct entry_sums {
    std::uint64_t bytes = 0;       // of records in entries from start on
    std::uint64_t kept_bytes = 0;  // of them, before kept_to
    sequence first, next;          // of all entries
    bool any = false;
    bool damaged = false;
};

void message_runs::add(sequence first, sequence last) {
    if (!runs_.empty() && runs_.rbegin()->second + 1 == first)
        runs_.rbegin()->second = last;
    else
        runs_.emplace(first, last);
}

bool message_runs::contains(sequence s) const {
    const auto after = runs_.upper_bound(s);
    return after != runs_.begin() && std::prev(after)->second >= s;
}

std::uint64_t message_runs::count(sequence first, sequence end) const {
    std::uint64_t sum = 0;
    auto it = runs_.upper_bound(first);
    if (it != runs_.begin()) --it;
    for (; it != runs_.end() && it->first < end; ++it) {
        const auto from = std::max(first, it->first);
        const auto to = std::min(end, it->second + 1);
        if (from < to) sum += to - from;
    }
    return sum;
}

error examination::examine_entries(topic_state& t, std::uint32_t index) {
    auto& p = t.partitions.at(index);
    const auto id = core::partition_id{t.row.id, index};
    entry_sums sums;
    for (sequence at;;) {
        auto page = store_.read(id, at, read_bytes);
        if (!page) return {page.failure().code, "partition " + std::to_string(index) + " of topic '" + t.row.name + "': " + page.failure().what};
        if (page.value().empty()) break;
        // Where a table is damaged, nobody knows what it held: no more than the log says.
        if (!page.value().front().bytes && at >= p.log.next) break;
        for (auto& e : page.value()) {
            auto where = place_of(t, index);
            where.last = e.last;
            auto entry = e.bytes ? driver::index_entry(e.last, std::move(e.bytes)) : result<driver::cached_entry>(error{errc::corruption, e.damage});
            if (!entry) {
                where.first = at;
                if (p.is_stored && e.last >= p.log.next && at < p.log.next) where.last = p.log.next - 1;
                find(where, "an entry is damaged: " + entry.failure().what, "it is freed; the messages are lost, and count as skipped where they were not settled",
                     {core::free_entry{id, e.last}});
                sums.damaged = true;
                at = e.last + 1;
                continue;
            }
            const auto& found = *entry.value().index;
            where.first = found.first;
            if (sums.any && found.first < sums.next) find(where, "two entries hold the same messages", {});
            if (!sums.any) sums.first = found.first;
            sums.any = true;
            sums.next = e.last + 1;
            at = e.last + 1;
            if (p.is_stored && e.last < p.log.start) {
                find(where, "an entry in front of the first retained message (" + std::to_string(p.log.start.value) + ")", "it is freed", {core::free_entry{id, e.last}});
                continue;
            }
            ++report_.entries;
            report_.messages += found.count();
            report_.bytes += found.bytes();
            p.messages.add(found.first, e.last);
            sums.bytes += found.bytes();
            if (e.last < p.log.kept_to) sums.kept_bytes += found.bytes();
        }
    }
    examine_log(t, index, sums);
    return {};
}

void examination::examine_log(topic_state& t, std::uint32_t index, const entry_sums& sums) {
    auto& p = t.partitions.at(index);
    auto& log = p.log;
    const auto stored = log;
    std::string what;
    if (!p.is_stored) {
        what = "the log of the partition has no row that can be read";
        log.start = log.kept_to = sums.first;
        log.next = sums.next;
        // What was settled may be freed already: sequences are never given twice.
        for (const auto& [id, s] : subscriptions_) {
            const auto rows = s.progress.find(index);
            core::progress_row progress;
            if (s.row.topic == t.row.id && rows != s.progress.end() && !decode(rows->second.front(), progress)) log.next = std::max(log.next, progress.cursor);
        }
        if (!sums.any) log.start = log.kept_to = log.next;
    } else if (sums.any && sums.next > log.next) {
        what = "there are messages up to " + std::to_string(sums.next.value - 1) + ", and the next to come is " + std::to_string(log.next.value);
        log.next = sums.next;
    }
    const auto first_is_cut = sums.any && p.is_stored && p.messages.contains(log.start) && log.start.value > 0 && p.messages.contains(log.start - 1);
    if (first_is_cut) what = "the first retained message (" + std::to_string(log.start.value) + ") stands in the middle of an entry";
    if (!sums.damaged) {  // else when that is gone
        if (what.empty() && (log.bytes != sums.bytes || log.kept_bytes != sums.kept_bytes))
            what = "it counts " + std::to_string(log.bytes) + " bytes, of them " + std::to_string(log.kept_bytes) + " settled and kept, and the entries have " +
                   std::to_string(sums.bytes) + " and " + std::to_string(sums.kept_bytes);
        log.bytes = sums.bytes;
        log.kept_bytes = p.is_stored ? sums.kept_bytes : 0;
    }
    if (what.empty() || first_is_cut) {
        if (first_is_cut) find(place_of(t, index), what, {});
        return;
    }
    auto row = encode(log);
    find(place_of(t, index), what, "the row is derived from the entries", {core::put_row{row.key, row.value}});
    if (stored.next != log.next) p.is_stored = true;
}

}  // namespace millrace::check
