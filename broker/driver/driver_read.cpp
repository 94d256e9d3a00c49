// What the store is read for: the core's entries and rows, and what waits for bytes.
#include "broker/driver/driver.hpp"

#include <algorithm>
#include <utility>

namespace millrace::driver {

const cached_entry* driver::find(core::partition_id partition, sequence s) const {
    if (const auto* recent = tail_.find(partition, s)) return recent;
    return read_.find(partition, s);
}

void driver::load(timestamp now, const core::load_entries& wanted) {
    core::input::loaded_entries loaded{wanted.partition, wanted.from, {}};
    std::size_t bytes = 0;
    for (auto at = wanted.from; bytes < wanted.bytes;) {
        const auto* entry = find(wanted.partition, at);
        if (!entry) break;
        loaded.entries.push_back(entry->index);
        bytes += entry->bytes->size();
        at = entry->index->last() + 1;
    }
    if (!loaded.entries.empty()) return step(now, loaded);
    core_reads_.emplace(wanted.partition, wanted.from);
    request_read(wanted.partition, wanted.from, wanted.bytes);
}

void driver::request_read(core::partition_id partition, sequence from, std::uint32_t bytes) {
    request_read(partition, from, bytes, {});
}

void driver::request_read(core::partition_id partition, sequence from, std::uint32_t bytes, const expected_read& expected) {
    if (reading_.try_emplace({partition, from}, expected).second) to_read_.push_back({partition, from, bytes});
}

/// A read brings as many small entries as fit: one that was asked for brings those behind its first, too. What stands between, and may be gone, is counted as if
/// it were there; if it brings less than this, the delivery asks again when its turn comes.
void driver::request_entry(const core::delivery& d) {
    const auto& entry = *d.entry;
    const auto size = stored_bytes(entry);
    const auto before = reading_.upper_bound({d.partition, entry.first});
    if (before != reading_.begin() && std::prev(before)->first.first == d.partition) {
        auto& read = std::prev(before)->second;
        if (entry.first < read.next) return;
        const auto brought = size + (entry.first - read.next) * (size / entry.count());
        if (std::max(brought, read.entry_bytes) <= read.left) {
            read = {entry.last() + 1, read.left - brought, size};
            return;
        }
    }
    request_read(d.partition, entry.first, reread_bytes, {entry.last() + 1, reread_bytes - std::min<std::uint64_t>(size, reread_bytes), size});
}

void driver::on_read(timestamp now, const read_request& request, result<std::vector<storage::stored_entry>> found) {
    const auto is_freed = [&](const auto& e) { return freed_.contains({request.partition, e.last}); };
    if (found && std::any_of(found.value().begin(), found.value().end(), is_freed)) {
        actions_.reads.push_back(request);  // it began before the freeing was done, and says nothing of what follows
        return;
    }
    reading_.erase({request.partition, request.from});
    --reads_in_flight_;
    const auto for_core = core_reads_.erase({request.partition, request.from}) > 0;
    forget_freed();
    const auto for_scrubber = scrubber_.is_reading(request);
    if (!found) {
        if (for_scrubber) scrubber_.failed(now);
        return fail_read(now, request, for_core, found.failure());
    }
    const auto for_others = !for_scrubber || for_core || !waiting_.empty() || !browsing_.empty() || !handing_over_.empty();
    std::uint64_t bytes = 0;

    core::input::loaded_entries loaded{request.partition, request.from, {}};
    std::vector<cached_entry> read;
    std::vector<damaged_range> damage;
    auto at = request.from;
    for (auto& e : found.value()) {
        if (e.bytes) bytes += e.bytes->size();
        auto entry = e.bytes ? index_entry(e.last, std::move(e.bytes)) : result<cached_entry>(error{errc::corruption, e.damage});
        const auto runs_on = !damage.empty() && damage.back().last + 1 == at;
        if (!entry) {
            if (runs_on)
                damage.back().last = e.last;
            else
                damage.push_back({at, e.last, entry.failure().what});
        } else {
            const auto first = entry.value().index->first;  // only now it is known how far the damage goes
            if (runs_on && first <= damage.back().first)
                damage.pop_back();
            else if (runs_on)
                damage.back().last = std::min(damage.back().last, first - 1);
            loaded.entries.push_back(entry.value().index);
            read.push_back(std::move(entry.value()));
        }
        at = e.last + 1;
    }
    if (for_scrubber) scrubber_.done(now, found.value().empty() ? std::nullopt : std::optional(at), bytes);
    const auto nothing_else = for_core && loaded.entries.empty() && !damage.empty();
    for (const auto& d : damage) take_damage(now, request.partition, d, nothing_else ? std::optional(request.from) : std::nullopt);
    // From the end, so that a small cache gives up what is needed last.
    if (for_others)
        for (auto entry = read.rbegin(); entry != read.rend(); ++entry) read_.insert(request.partition, std::move(*entry));
    drain_waiting(request, loaded.entries);
    auto dead = std::exchange(handing_over_, {});
    for (const auto& h : dead) {
        const auto was_read = h.source == request.partition && h.at == request.from;
        const auto is_gone = was_read && (loaded.entries.empty() || !loaded.entries.front()->contains(h.at));
        if (!is_gone) hand_over(now, h);
    }
    resume_browsing(request, loaded.entries);
    if (for_core && !nothing_else) step(now, loaded);
}

/// Who waits for these bytes is told; the core asks again.
void driver::fail_read(timestamp now, const read_request& request, bool for_core, const error& failed) {
    actions_.alarms.push_back({failed.code, shard_.place_of(request.partition) + " cannot be read from message " + std::to_string(request.from.value) + " on: " + failed.what});
    for (const auto& [id, waiting] : waiting_)
        if (waiting.deliveries.front().what.partition == request.partition) actions_.closes.push_back({id.session, failed});
    for (const auto& [to, wanted] : browsing_)
        if (wanted.partition == request.partition) actions_.answers.push_back({to, failed});
    std::erase_if(browsing_, [&](const auto& b) { return b.second.partition == request.partition; });
    if (for_core) step(now, core::input::read_failed{request.partition, request.from, failed});
}

/// Messages that are lost: they are named, the core passes over them, and whoever waited for one of them goes on behind it.
void driver::take_damage(timestamp now, core::partition_id partition, const damaged_range& d, std::optional<sequence> ended_load) {
    counted_.damaged_messages += d.last - d.first + 1;
    actions_.alarms.push_back({errc::corruption, shard_.place_of(partition) + ": messages " + std::to_string(d.first.value) + " to " + std::to_string(d.last.value) +
                                                     " are damaged in the store and lost; subscriptions that had not settled them count them as skipped: " + d.why});
    std::vector<core::input::undelivered> back;
    for (auto& [id, waiting] : waiting_)
        std::erase_if(waiting.deliveries, [&](const waiting_delivery& waits) {
            const auto& w = waits.what;
            if (w.partition != partition || w.last < d.first || d.last < w.first) return false;
            back.push_back({id.session, id.consumer, {partition.index, w.first, w.last, w.attempt}, w.entry->bytes_between(w.first, w.last)});
            return true;
        });
    std::erase_if(waiting_, [](const auto& w) { return w.second.deliveries.empty(); });
    std::erase_if(handing_over_, [&](const core::hand_over& h) { return h.source == partition && d.first <= h.at && h.at <= d.last; });  // its row stays
    for (auto& [to, wanted] : browsing_)
        if (wanted.partition == partition && d.first <= wanted.at && wanted.at <= d.last) wanted.at = d.last + 1;
    step(now, core::input::damaged{partition, d.first, d.last, ended_load});
    for (const auto& b : back) step(now, b);
}

void driver::on_scanned(timestamp now, const scan_request& request, result<std::vector<core::row>> found) {
    const auto fail = [&](const error& why) {
        if (why.code != errc::corruption) actions_.alarms.push_back(why);  // else the core says what comes of it
        step(now, core::input::scan_failed{request.subscription, request.partition, request.from, why});
    };
    if (!found) return fail(found.failure());
    core::input::loaded_blocks loaded{request.subscription, request.partition, request.from, {}, found.value().size() < request.limit};
    for (const auto& r : found.value())
        if (auto damaged = core::decode(r, loaded.rows.emplace_back())) return fail(damaged);
    step(now, loaded);
}

}  // namespace millrace::driver
