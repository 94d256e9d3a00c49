#include "broker/driver/driver.hpp"

#include <algorithm>
#include <utility>

#include "broker/core/invariant.hpp"
#include "proto/entry.hpp"
#include "proto/record.hpp"

namespace millrace::driver {

using core::invariant;

namespace {

/// Of one read that a delivery or a peek needs again.
constexpr std::uint32_t reread_bytes = 256u << 10;

/// Who asks for something new that stays, or nobody.
const core::origin* creator(const core::any_input& request) {
    if (const auto* topic = std::get_if<core::input::create_topic>(&request)) return &topic->from;
    if (const auto* subscription = std::get_if<core::input::create_subscription>(&request)) return &subscription->from;
    return nullptr;
}

}  // namespace

bool actions::empty() const {
    return answers.empty() && peeks.empty() && pushes.empty() && ended.empty() && closes.empty() && commits.empty() && reads.empty() &&
           scans.empty() && moves.empty() && idle_producers.empty() && alarms.empty() && !wants_space && !fatal;
}

error check_records(const publish_request& request, std::vector<std::uint32_t>& record_ends) {
    if (request.count == 0) return {errc::invalid_argument, "a batch of no messages: publish at least one"};
    if (request.count > limits::batch_messages || (request.count > 1 && request.records.size() > limits::batch_bytes))
        return {errc::batch_too_large, "a batch of " + std::to_string(request.count) + " messages and " + std::to_string(request.records.size()) +
                                           " bytes: at most " + std::to_string(limits::batch_messages) + " and " + std::to_string(limits::batch_bytes) +
                                           ", or one message"};
    return proto::verify_records(request.records, request.count, 0, record_ends);
}

driver::driver(core::shard shard, const driver_settings& settings, figures before)
    : shard_(std::move(shard)),
      settings_(settings),
      scrubber_(settings.scrub_bytes_per_second),
      tail_(settings.tail_cache_bytes),
      read_(settings.read_cache_bytes),
      counted_(std::move(before)) {
    actions_.alarms = shard_.quarantined();
}

actions driver::take_actions() {
    for (; !to_read_.empty() && reads_in_flight_ < settings_.reads_in_flight; ++reads_in_flight_) {
        actions_.reads.push_back(to_read_.front());
        to_read_.pop_front();
    }
    actions_.wants_space = gate_.wants_look();
    for (const auto& a : actions_.answers)
        if (const auto* refused = std::get_if<error>(&a.what)) ++counted_.refused[refused->code];
    for (const auto& p : actions_.pushes) {
        counted_.delivered_messages += p.run.count;
        counted_.delivered_bytes += p.run.records.size();
    }
    return std::exchange(actions_, {});
}

figures driver::counted() const {
    auto all = counted_;
    all.acked_messages += shard_.acked_messages();
    all.scrubbed_bytes += scrubber_.bytes_read();
    all.scrub_passes += scrubber_.passes();
    return all;
}

void driver::submit(timestamp now, const core::any_input& request) {
    if (const auto* from = creator(request); from && !gate_.is_open()) return refuse(*from, gate_.refusal());
    if (const auto* lost = std::get_if<core::input::session_lost>(&request)) {
        std::erase_if(waiting_, [&](const auto& w) { return w.first.session == lost->session; });
        std::erase_if(browsing_, [&](const auto& b) { return b.first.session == lost->session; });
    } else if (const auto* left = std::get_if<core::input::unsubscribe>(&request)) {
        waiting_.erase({left->from.session, left->consumer});  // its number may be taken again, and what it held is another's
        std::erase_if(actions_.pushes, [&](const push& p) { return p.session == left->from.session && p.consumer == left->consumer; });
    }
    step(now, request);
}

void driver::publish(timestamp now, const publish_request& request) {
    record_ends_.clear();
    if (auto bad = check_records(request, record_ends_)) return refuse(request.from, std::move(bad));
    auto checked = request;
    checked.claim.checksum = proto::batch_checksum(request.records);
    publish_checked(now, checked, record_ends_);
}

void driver::publish_checked(timestamp now, const publish_request& request, std::span<const std::uint32_t> record_ends) {
    // What has been taken before is answered as before, however full the disk is.
    if (!gate_.admits(request.records.size()) && shard_.is_new(request.claim, request.partition)) return refuse(request.from, gate_.refusal());
    core::effects effects;
    shard_.step(now, core::input::publish{request.from, request.partition, record_ends, request.demanded, request.claim}, effects);
    if (effects.taken) append(*effects.taken, request.records, request.count, request.claim);
    perform(now, effects);
}

void driver::arrive(timestamp now, core::origin from, const move& what) {
    if (!gate_.admits_move(what.envelope.size())) return refuse(from, gate_.refusal());
    const std::uint32_t end[] = {static_cast<std::uint32_t>(what.envelope.size())};
    core::effects effects;
    shard_.step(now, core::input::arrive{from, what.what, what.target, end}, effects);
    if (effects.taken) append(*effects.taken, what.envelope, 1, {{}, 0, 0, proto::batch_checksum(what.envelope)});
    perform(now, effects);
}

/// Puts a batch that the core has taken into the open entry of its partition: the one copy of its bytes between socket and store.
void driver::append(const core::accepted& taken, std::span<const std::byte> records, std::uint32_t count, const core::batch_claim& claim) {
    auto& bytes = open_entries_[{taken.partition, taken.entry}];
    if (!bytes) {
        const auto* before = tail_.find(taken.partition, taken.entry - 1);  // as large as this one will probably be: growing would copy it again and again
        bytes = std::make_shared<std::vector<std::byte>>();
        bytes->reserve(std::max(proto::batch_header_bytes + records.size(), before ? before->bytes->size() : 0));
    }
    const proto::batch_header header{static_cast<std::uint32_t>(records.size()), count, taken.first, taken.appended_at,
                                     static_cast<std::uint64_t>(claim.producer), claim.number, claim.epoch, claim.checksum};
    proto::append_batch_header(header, *bytes);
    bytes->insert(bytes->end(), records.begin(), records.end());
    open_bytes_ += records.size();
    gate_.took(records.size());
}

std::uint64_t driver::unwritten_bytes() const {
    auto bytes = open_bytes_;
    for (const auto& group : in_flight_) bytes += group.bytes;
    return bytes;
}

void driver::on_committed(timestamp now, core::group_number number, const error& failed) {
    if (failed) {
        ++counted_.failed_commits;
        actions_.fatal = failed;
        return;
    }
    invariant(!in_flight_.empty() && in_flight_.front().number == number, "a group was committed out of order", static_cast<std::uint64_t>(number));
    const auto& done = in_flight_.front();
    counted_.published_messages += done.messages;
    counted_.published_bytes += done.record_bytes;
    counted_.commit_microseconds.observe(static_cast<std::uint64_t>((now - done.begun).count()));
    counted_.commit_messages.observe(done.messages);
    counted_.commit_bytes.observe(done.record_bytes);
    in_flight_.pop_front();
    forget_freed();
    step(now, core::input::committed{number});
}

/// What no read that is under way or begins now can still find.
void driver::forget_freed() {
    if (!reading_.empty()) return;
    std::erase_if(freed_, [&](const auto& f) { return in_flight_.empty() || f.second < in_flight_.front().number; });
}

void driver::on_time(timestamp now) {
    for (const auto& h : handing_over_) request_read(h.source, h.at, reread_bytes);  // where a read has failed
    step(now, core::input::tick{});
    scrub(now);
    if (company_until_) flush(now);
}

std::optional<timestamp> driver::next_deadline() const {
    std::optional<timestamp> next;
    const auto of_group = in_flight_.size() < settings_.groups_in_flight ? company_until_ : std::nullopt;  // else on_committed() comes first
    for (const auto& due : {shard_.next_deadline(), scrubber_.due(), of_group})
        if (due && (!next || *due < *next)) next = due;
    return next;
}

void driver::scrub(timestamp now) {
    const auto due = scrubber_.due();
    if (!due || now < *due) return;
    if (const auto wanted = scrubber_.next(now, shard_)) request_read(wanted->partition, wanted->from, wanted->bytes);
}

void driver::on_space(timestamp now, const std::optional<storage::disk_space>& disk) {
    if (disk)
        gate_.look(*disk, unwritten_bytes());
    else
        gate_ = {};
    for (const auto& h : std::exchange(put_off_, {})) hand_over(now, h);
}

/// While a sync for acks alone is under way, the messages that come in the meantime wait for it. Where messages keep coming, the acks go with them.
bool driver::waits_for_company(timestamp now) {
    if (!open_entries_.empty()) return false;
    if (!company_until_) {
        if (now - last_append_ > 4 * settings_.company_time) return false;
        company_until_ = now + settings_.company_time;
    }
    return now < *company_until_;
}

void driver::flush(timestamp now) {
    if (!shard_.has_open_group() || in_flight_.size() >= settings_.groups_in_flight || waits_for_company(now)) return;
    company_until_.reset();
    auto group = shard_.close_group();
    closed_group begun{group.number, 0, now, 0, 0};
    for (auto& m : group.mutations) {
        if (auto* append = std::get_if<core::append_entry>(&m)) {
            auto filled = open_entries_.extract({append->partition, append->first});
            invariant(!filled.empty(), "a closed entry has no bytes", append->first.value);
            auto& bytes = *filled.mapped();
            if (bytes.capacity() / 2 > bytes.size()) bytes.shrink_to_fit();  // whoever keeps it, keeps all of it
            append->bytes = std::move(filled.mapped());
            begun.messages += append->index->count();
            begun.record_bytes += append->index->bytes();
            tail_.insert(append->partition, {append->index, append->bytes});
        } else if (const auto* freed = std::get_if<core::free_entry>(&m)) {
            // A core that has forgotten the hole would take a cached entry for one that stands, and free it again.
            tail_.forget(freed->partition, freed->last);
            read_.forget(freed->partition, freed->last);
            freed_.insert_or_assign({freed->partition, freed->last}, group.number);
        } else if (const auto* dropped = std::get_if<core::drop_partition>(&m)) {
            tail_.forget(dropped->partition);
            read_.forget(dropped->partition);
        }
    }
    open_entries_.clear();  // what is left belongs to topics that were deleted in the same group
    if (begun.messages > 0) last_append_ = now;
    begun.bytes = std::exchange(open_bytes_, 0);
    in_flight_.push_back(begun);
    actions_.commits.push_back(std::move(group));
}

void driver::step(timestamp now, const core::any_input& in) {
    core::effects effects;
    shard_.step(now, in, effects);
    perform(now, effects);
}

void driver::perform(timestamp now, core::effects& effects) {
    for (auto& a : effects.answered) {
        if (const auto* wanted = std::get_if<core::answers::browse>(&a.what))
            browse(a.to, *wanted);
        else
            actions_.answers.push_back(std::move(a));
    }
    for (auto& d : effects.delivered) deliver(std::move(d));
    for (auto& alarm : effects.alarms) actions_.alarms.push_back(std::move(alarm));
    for (const auto id : effects.idle_producers) actions_.idle_producers.push_back(id);
    for (auto& e : effects.ended) {
        waiting_.erase({e.session, e.consumer});
        actions_.ended.push_back(std::move(e));
    }
    for (const auto& h : effects.hand_overs) hand_over(now, h);
    for (const auto& wanted : effects.loads) {
        if (const auto* entries = std::get_if<core::load_entries>(&wanted)) {
            load(now, *entries);
        } else {
            const auto& blocks = std::get<core::load_blocks>(wanted);
            actions_.scans.push_back({blocks.subscription, blocks.partition, blocks.from,
                                      core::block_rows(blocks.subscription, blocks.partition, blocks.from), blocks.limit});
        }
    }
}

// ---- reading ----

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

// ---- the dead ----

void driver::hand_over(timestamp now, const core::hand_over& wanted) {
    if (!gate_.admits_move(0)) return put_off_.push_back(wanted);
    if (try_hand_over(now, wanted)) return;
    handing_over_.push_back(wanted);
    request_read(wanted.source, wanted.at, reread_bytes);
}

bool driver::try_hand_over(timestamp now, const core::hand_over& wanted) {
    const auto* entry = find(wanted.source, wanted.at);
    if (!entry) return false;
    const auto record = records_of(*entry->index, *entry->bytes, wanted.at, wanted.at);
    std::vector<std::byte> envelope;
    const proto::dead_origin origin{wanted.topic, wanted.subscription_name, wanted.source.index, wanted.at, wanted.failures, wanted.reason};
    if (proto::append_envelope(origin, record, envelope)) return true;  // wrapped too often: it stays where it is, under its row
    if (!gate_.admits_move(envelope.size())) {
        put_off_.push_back(wanted);
        return true;
    }
    const std::uint32_t end[] = {static_cast<std::uint32_t>(envelope.size())};
    core::effects effects;
    shard_.step(now, core::input::handed_over{wanted.subscription, wanted.source.index, wanted.at, end}, effects);
    if (effects.taken) append(*effects.taken, envelope, 1, {{}, 0, 0, proto::batch_checksum(envelope)});
    if (effects.elsewhere) actions_.moves.push_back({{wanted.subscription, wanted.source.index, wanted.at}, *effects.elsewhere, std::move(envelope)});
    perform(now, effects);
    return true;
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
