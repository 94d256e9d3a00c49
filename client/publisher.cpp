#include "client/publisher.hpp"

#include <algorithm>
#include <cassert>

#include <xxhash.h>

namespace millrace::client {
namespace {

constexpr std::size_t batches_in_flight_eager = 8;  // with fewer, a message would wait in the client for an answer to others; with more, full batches are late
constexpr std::size_t spare_buffers_max = 8;
constexpr std::size_t frame_head_bytes_max = 1024;

// More than a record of `m` can take: a batch is closed before it would grow over the limit, not after.
std::size_t record_bytes_at_most(const message& m) {
    std::size_t sum = 128 + m.key.size() + m.payload.size();
    for (const auto& h : m.headers) sum += 64 + h.name.size() + h.value.size();
    return sum;
}

std::uint32_t partition_of_key(const std::string& key, std::size_t partitions) {
    return static_cast<std::uint32_t>(XXH64(key.data(), key.size(), 0) % partitions);
}

}  // namespace

void publisher::on_welcome(const wire::Welcome& welcome) {
    credit_messages_ = std::max<std::size_t>(welcome.publish_messages(), 1);
    credit_bytes_ = std::max<std::uint64_t>(welcome.publish_bytes(), 1);
    if (welcome.message_bytes_max() != 0) message_bytes_max_ = welcome.message_bytes_max();
    // Half the credit, so that one batch is filled and sent while the other one is answered.
    batch_messages_max_ = std::clamp<std::size_t>(credit_messages_ / 2, 1, limits::batch_messages);
    batch_bytes_max_ = std::clamp<std::uint64_t>(credit_bytes_ / 2, 1, limits::batch_bytes);
    const std::size_t frame_bytes_max = welcome.frame_bytes_max();
    if (frame_bytes_max > frame_head_bytes_max) batch_bytes_max_ = std::min(batch_bytes_max_, frame_bytes_max - frame_head_bytes_max);
}

void publisher::resume() {
    connected_ = true;
    renumber();
    resolve_parked();
}

void publisher::publish(ticket operation, std::string_view topic, message&& m, publish_options options) {
    if (fenced_) return finish_one(operation, fenced_);
    auto& r = route_to(topic);
    const placing to{++calls_, operation, options};
    if (r.known && !r.resolving) return append(r, m, to);
    r.parked.push_back({to, std::move(m), talk_.now});
    resolve(r);
}

void publisher::end_turn() {
    send_closed();
    while (closed_.empty() && !open_.empty() && in_flight_.size() < batches_in_flight_eager &&
           open_.front()->opened + settings_.linger <= talk_.now)
        close(*open_.front());
}

// ---- topics to ids -----------------------------------------------------------------------------------------------------

publisher::route& publisher::route_to(std::string_view topic) {
    if (last_route_ && last_route_->name == topic) return *last_route_;
    auto found = routes_.find(topic);
    if (found == routes_.end()) {
        auto fresh = std::make_unique<route>();
        fresh->name = topic;
        all_routes_.push_back(fresh.get());
        found = routes_.emplace(fresh->name, std::move(fresh)).first;
    }
    return *(last_route_ = found->second.get());
}

void publisher::resolve(route& r) {
    if (r.resolving || !connected_) return;
    r.resolving = true;
    const auto id = talk_.ask(recipient::metadata, wire::Message::MetadataOk);
    lookups_.emplace(id, &r);
    auto& b = talk_.builder;
    talk_.send(id, wire::CreateMetadata(b, b.CreateVectorOfStrings({r.name})));
}

void publisher::resolve_parked() {
    for (auto* r : all_routes_)
        if (!r->parked.empty()) resolve(*r);
}

void publisher::on_metadata(std::uint64_t id, const error& refused, const wire::MetadataOk* content) {
    const auto lookup = lookups_.find(id);
    if (lookup == lookups_.end()) return;
    auto& r = *lookup->second;
    lookups_.erase(lookup);
    r.resolving = false;
    const auto failed = refused ? refused : learn(r, *content);
    if (failed) r.known = false;
    std::ranges::sort(r.parked, {}, [](const parked_publish& p) { return p.to.call; });
    for (auto& p : std::exchange(r.parked, {})) {
        if (failed)
            finish_one(p.to.operation, failed);
        else
            append(r, p.content, p.to);
    }
}

error publisher::learn(route& r, const wire::MetadataOk& content) {
    const auto* places = content.topics() && content.topics()->size() == 1 ? content.topics()->Get(0) : nullptr;
    if (!places) return {errc::malformed_frame, "the broker did not answer for the topic it was asked about"};
    if (places->code() != 0) return {static_cast<errc>(places->code()), "there is no topic '" + r.name + "'"};
    if (!places->partitions() || places->partitions()->size() == 0 || places->partitions()->size() > limits::partitions)
        return {errc::malformed_frame, "the broker gave topic '" + r.name + "' no usable number of partitions"};
    if (r.id != 0 && r.id != places->id()) park_all_of(r, r.id);
    r.id = places->id();
    r.known = true;
    resize(r, places->partitions()->size());
    return {};
}

void publisher::on_topic_seen(std::string_view name, std::uint32_t id, std::size_t partitions) {
    const auto found = routes_.find(name);
    if (found == routes_.end() || partitions > limits::partitions) return;
    auto& r = *found->second;
    if (r.known && r.id == id) resize(r, std::max(partitions, r.open.size()));  // fewer: the description is older than what is known
}

/// Fewer partitions than before: the topic is another one of the same name, and what was meant for the others is placed again.
void publisher::resize(route& r, std::size_t partitions) {
    std::vector<std::unique_ptr<batch>> homeless;
    for (auto p = partitions; p < r.open.size(); ++p)
        if (r.open[p]) homeless.push_back(take_open(*r.open[p]));
    r.open.resize(partitions);
    if (r.sticky >= partitions) r.sticky = 0;
    for (auto& b : homeless) {
        b->second_try = true;
        park_again(*b);
    }
}

/// Takes the messages of a batch apart again. Rare: its topic was deleted and created again, or the connection is lost.
void publisher::park_again(batch& b) {
    std::span<const std::byte> rest(*b.records);
    for (std::size_t i = 0; i < b.operations.size(); ++i) {
        parked_publish p{{b.calls[i], b.operations[i], {b.least}, b.second_try, b.partition, b.place().topic}, {}, b.opened};
        const auto length = proto::record_length(rest);
        assert(length);
        const auto failed = proto::decode_record(rest.first(*length), p.content);
        assert(!failed);
        rest = rest.subspan(*length);
        b.to->parked.push_back(std::move(p));
    }
}

void publisher::park_all(std::vector<std::unique_ptr<batch>> batches) {
    for (auto& b : batches) {
        park_again(*b);
        recycle(std::move(b->records));
    }
}

/// Topic `gone` is no more. Whatever was meant for it is placed again together, in the order of the calls: it would be refused one by one, behind what is
/// published meanwhile. What is under way stays there, for its credit and its number, and is refused too.
void publisher::park_all_of(route& r, std::uint32_t gone) {
    for (auto& [id, b] : in_flight_) {
        if (b->to != &r || b->topic != gone || b->second_try) continue;
        b->second_try = true;
        park_again(*b);
        b->operations.clear();
    }
    if (r.id != gone) return;  // it is known by now what came after it
    std::vector<std::unique_ptr<batch>> waiting;
    for (auto& b : closed_) {
        if (b->to != &r) continue;
        if (b->number != 0) numbers_.answered(b->place());
        waiting.push_back(std::move(b));
    }
    std::erase(closed_, nullptr);
    for (auto& b : r.open)
        if (b) waiting.push_back(take_open(*b));
    park_all(std::move(waiting));
}

// ---- messages to batches -------------------------------------------------------------------------------------------------

std::uint32_t publisher::partition_for(const route& r, const message& m, const placing& to) const {
    // What was placed before the topic grew stays where it was, in order; in a topic that was created again a key's messages go where its next ones will.
    if (to.partition && *to.partition < r.open.size() && (m.key.empty() || to.topic == r.id)) return *to.partition;
    return m.key.empty() ? r.sticky : partition_of_key(m.key, r.open.size());
}

void publisher::append(route& r, const message& m, const placing& to) {
    auto& b = open_batch(r, partition_for(r, m, to), to.options, record_bytes_at_most(m), to.second_try);
    const auto before = b.records->size();
    auto refused = encoder_.append(m, settings_.compression, *b.records);
    const auto bytes = b.records->size() - before;
    if (!refused && bytes > message_bytes_max_) {
        refused = {errc::message_too_large, "a record of " + std::to_string(bytes) + " bytes is over this broker's limit of " +
                                                std::to_string(message_bytes_max_)};
        b.records->resize(before);
    }
    if (refused) {
        if (b.operations.empty()) recycle(take_open(b)->records);
        return finish_one(to.operation, refused);
    }
    b.operations.push_back(to.operation);
    b.calls.push_back(to.call);
    b.second_try |= to.second_try;
    if (b.operations.size() >= batch_messages_max_ || b.records->size() >= batch_bytes_max_) close(b);
}

publisher::batch& publisher::open_batch(route& r, std::uint32_t partition, publish_options options, std::size_t bytes_at_most,
                                        bool second_try) {
    auto& place = r.open[partition];
    if (place && (place->least != options.least || place->records->size() + bytes_at_most > batch_bytes_max_)) close(*place);
    if (!place) {
        place = std::make_unique<batch>(batch{&r, partition, options.least, second_try, talk_.now, empty_buffer(), {}, {}, 0});
        place->operations.reserve(operations_last_);
        place->calls.reserve(operations_last_);
        place->records->reserve(bytes_last_);
        open_.push_back(place.get());
    }
    return *place;
}

void publisher::close(batch& b) {
    auto& r = *b.to;
    if (b.partition == r.sticky) r.sticky = static_cast<std::uint32_t>((r.sticky + 1) % r.open.size());
    operations_last_ = b.operations.size();
    bytes_last_ = std::min(b.records->size(), batch_bytes_max_);
    closed_.push_back(take_open(b));
    send_closed();
}

std::unique_ptr<publisher::batch> publisher::take_open(batch& b) {
    open_.erase(std::find(open_.begin(), open_.end(), &b));
    return std::move(b.to->open[b.partition]);
}

record_buffer publisher::empty_buffer() {
    if (spare_.empty()) return std::make_shared<std::vector<std::byte>>();
    auto buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
}

void publisher::recycle(record_buffer buffer) {
    // A write under way may still hold it, and one large message must not keep its memory.
    if (spare_.size() >= spare_buffers_max || buffer.use_count() > 1 || buffer->capacity() > 2 * limits::batch_bytes) return;
    buffer->clear();
    spare_.push_back(std::move(buffer));
}

// ---- batches to frames -----------------------------------------------------------------------------------------------------

bool publisher::may_send(const batch& b) const noexcept {
    if (in_flight_.empty()) return true;
    if (is_named() && b.number == 0 && !numbers_.may_number(b.place())) return false;
    return in_flight_messages_ + b.operations.size() <= credit_messages_ && in_flight_bytes_ + b.records->size() <= credit_bytes_;
}

void publisher::send_closed() {
    while (!closed_.empty() && may_send(*closed_.front())) {
        auto next = std::move(closed_.front());
        closed_.pop_front();
        send(std::move(next));
    }
}

void publisher::send(std::unique_ptr<batch> b) {
    if (b->number == 0) {
        if (b->count == 0) b->count = b->operations.size();
        if (b->topic == 0) b->topic = b->to->id;
        if (is_named()) b->number = numbers_.next(b->place());
    }
    const auto id = talk_.ask(recipient::publish, wire::Message::Published);
    talk_.send(id, wire::CreatePublish(talk_.builder, b->topic, b->partition, static_cast<std::uint32_t>(b->count), static_cast<wire::Durability>(b->least),
                                       numbers_.id(), numbers_.epoch(), b->number), b->records);
    in_flight_messages_ += b->count;
    in_flight_bytes_ += b->records->size();
    in_flight_.emplace_hint(in_flight_.end(), id, std::move(b));
}

/// Batch `b` was not taken, so the broker refuses those behind it for the gap: they are as good as refused. The next batch gets the free number; it
/// comes to the broker after all of them.
void publisher::refuse_followers(const batch& b, const error& refused) {
    const error gap{errc::batch_gap, "an earlier batch of this producer was refused, and order is kept: " + to_string(refused)};
    for (auto& [id, other] : in_flight_) {
        if (other->place() != b.place() || other->number < b.number || other->follows_refused) continue;
        other->follows_refused = true;
        give_up(*other, gap);
    }
    numbers_.rewind(b.place(), b.number);
}

/// What an earlier connection sent: a batch that the broker has taken keeps its number and gets its answer again. Others get the next numbers, which
/// are the ones they had, unless the broker's store lost something. A topic that the broker knows nothing of from this producer is looked up first.
void publisher::renumber() {
    std::vector<std::unique_ptr<batch>> unknown;
    for (auto& b : std::exchange(closed_, {})) {
        const auto last = numbers_.last(b->place());
        if (b->operations.empty()) {
            recycle(std::move(b->records));
        } else if (last == 0) {
            unknown.push_back(std::move(b));
        } else {
            if (b->number <= last)
                numbers_.keep(b->place());
            else
                b->number = 0;
            closed_.push_back(std::move(b));
        }
    }
    park_all(std::move(unknown));
}

std::unique_ptr<publisher::batch> publisher::take_in_flight(std::uint64_t id) {
    auto node = in_flight_.extract(id);
    assert(!node.empty());
    auto b = std::move(node.mapped());
    in_flight_messages_ -= b->count;
    in_flight_bytes_ -= b->records->size();
    if (b->number != 0) numbers_.answered(b->place());
    return b;
}

void publisher::on_published(std::uint64_t id, const wire::Published& content) {
    finish(take_in_flight(id), {content.first()}, static_cast<durability>(content.durability()), {});
}

error publisher::on_refused(std::uint64_t id, const error& refused) {
    const bool is_numbered = in_flight_.at(id)->number != 0;
    if (is_numbered && (refused.code == errc::outcome_unknown || refused.code == errc::no_such_producer)) return refused;
    auto b = take_in_flight(id);
    if (refused.code == errc::no_such_topic && !b->second_try && !fenced_) {
        auto& r = *b->to;
        b->second_try = true;
        park_again(*b);
        park_all_of(r, b->topic);
        recycle(std::move(b->records));
        if (!r.parked.empty()) resolve(r);
        return {};
    }
    if (refused.code == errc::producer_fenced)
        fence(refused);
    else if (is_numbered && !b->follows_refused && refused.code != errc::batch_gap && refused.code != errc::batch_mismatch)
        refuse_followers(*b, refused);
    finish(std::move(b), {}, durability::memory, refused);
    return {};
}

void publisher::finish(std::unique_ptr<batch> b, sequence first, durability level, const error& refused) {
    if (!b->operations.empty())
        talk_.events.emplace_back(published{std::move(b->operations), b->partition, first, level, refused, b->number});
    recycle(std::move(b->records));
}

void publisher::finish_one(ticket operation, const error& refused) {
    talk_.events.emplace_back(published{{operation}, 0, {}, durability::memory, refused});
}

// ---- time and the end --------------------------------------------------------------------------------------------------------

void publisher::give_up(std::uint64_t id, const waiting_request& asked, const error& refused) {
    if (asked.taker == recipient::metadata) return on_metadata(id, refused, nullptr);
    give_up(*in_flight_.at(id), refused);
}

/// Its operations are over; it stays, for its credit and its number.
void publisher::give_up(batch& b, const error& refused) {
    if (b.operations.empty()) return;
    talk_.events.emplace_back(published{std::exchange(b.operations, {}), b.partition, {}, durability::memory, refused});
}

void publisher::time_passed() {
    const error refused{errc::timed_out, "the batch was not sent in time: earlier ones are unanswered and fill the credit"};
    const auto expired = [&](const batch& b) { return b.opened + talk_.request_timeout <= talk_.now; };
    const error too_late{errc::timed_out, "the connection did not come back in time; what had been sent may or may not be there"};
    for (auto& b : closed_)
        if (b->number != 0 && expired(*b)) give_up(*b, too_late);
    while (!closed_.empty() && closed_.front()->number == 0 && expired(*closed_.front())) {
        finish(std::move(closed_.front()), {}, durability::memory, refused);
        closed_.pop_front();
    }
    while (!open_.empty() && expired(*open_.front())) finish(take_open(*open_.front()), {}, durability::memory, refused);
    if (!connected_) expire_parked(too_late);
}

/// Only without a connection: else the lookup that they wait for has its own timeout.
void publisher::expire_parked(const error& refused) {
    for (auto* r : all_routes_) {
        std::erase_if(r->parked, [&](const parked_publish& p) {
            if (p.asked + talk_.request_timeout > talk_.now) return false;
            finish_one(p.to.operation, refused);
            return true;
        });
    }
}

moment publisher::next_deadline() const {
    moment next = never;
    if (!connected_)
        for (const auto* r : all_routes_)
            for (const auto& p : r->parked) next = std::min(next, p.asked + talk_.request_timeout);
    const auto waits = std::find_if(closed_.begin(), closed_.end(), [](const auto& b) { return !b->operations.empty(); });
    if (waits != closed_.end()) next = std::min(next, (*waits)->opened + talk_.request_timeout);
    if (!open_.empty()) {
        const bool lingers = closed_.empty() && in_flight_.size() < batches_in_flight_eager;
        next = std::min(next, open_.front()->opened + (lingers ? settings_.linger : talk_.request_timeout));
    }
    return next;
}

void publisher::interrupt(const error& reason, bool resend) {
    connected_ = false;
    for (auto* r : all_routes_) r->known = r->resolving = false;
    lookups_.clear();
    std::deque<std::unique_ptr<batch>> numbered;
    std::vector<std::unique_ptr<batch>> unnumbered;
    for (auto& [id, b] : std::exchange(in_flight_, {})) {
        if (!resend || fenced_ || b->follows_refused)
            finish(std::move(b), {}, durability::memory, fenced_ ? fenced_ : reason);
        else if (b->number != 0)
            numbered.push_back(std::move(b));
        else
            unnumbered.push_back(std::move(b));
    }
    in_flight_messages_ = 0;
    in_flight_bytes_ = 0;
    for (auto& b : std::exchange(closed_, {})) {
        if (b->number != 0)
            numbered.push_back(std::move(b));
        else
            unnumbered.push_back(std::move(b));
    }
    closed_ = std::move(numbered);
    while (!open_.empty()) unnumbered.push_back(take_open(*open_.front()));
    park_all(std::move(unnumbered));
}

void publisher::fence(const error& reason) {
    if (fenced_) return;
    fenced_ = reason;
    for (auto& b : std::exchange(closed_, {})) finish(std::move(b), {}, durability::memory, reason);
    while (!open_.empty()) finish(take_open(*open_.front()), {}, durability::memory, reason);
    for (auto* r : all_routes_)
        for (auto& p : std::exchange(r->parked, {})) finish_one(p.to.operation, reason);
}

void publisher::fail_all(const error& reason) {
    for (auto& [id, b] : in_flight_) finish(std::move(b), {}, durability::memory, reason);
    for (auto& b : closed_) finish(std::move(b), {}, durability::memory, reason);
    while (!open_.empty()) finish(take_open(*open_.front()), {}, durability::memory, reason);
    for (auto* r : all_routes_)
        for (auto& p : std::exchange(r->parked, {})) finish_one(p.to.operation, reason);
    in_flight_.clear();
    closed_.clear();
    lookups_.clear();
}

bool publisher::idle() const noexcept {
    return open_.empty() && closed_.empty() && in_flight_.empty() && lookups_.empty();
}

}  // namespace millrace::client
