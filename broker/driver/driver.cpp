#include "broker/driver/driver.hpp"

#include <algorithm>
#include <utility>

#include "broker/core/invariant.hpp"
#include "proto/entry.hpp"
#include "proto/record.hpp"

namespace millrace::driver {

using core::invariant;

namespace {

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

}  // namespace millrace::driver
