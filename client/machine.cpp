#include "client/machine.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace millrace::client {
namespace {

// By the index of a request's alternative.
constexpr std::array expected_answers{
    wire::Message::TopicInfo,        wire::Message::TopicInfo,        wire::Message::TopicInfo,     wire::Message::Topics,
    wire::Message::Ok,               wire::Message::Ok,               wire::Message::SubscriptionInfo, wire::Message::SubscriptionInfo,
    wire::Message::Subscriptions,    wire::Message::SubscriptionInfo, wire::Message::Ok,          wire::Message::Peeked};
static_assert(expected_answers.size() == std::variant_size_v<request>);

// The hello is the only frame under way when it is answered: it needs no number of its own.
constexpr std::uint64_t hello_id = 0;

// A broker that was restarted holds old messages back for 2 s, for those who had started them: who has must be there in time.
constexpr auto pause_with_leases_max = std::chrono::milliseconds(500);

std::string text(const flatbuffers::String* s) { return s ? s->str() : std::string(); }

/// Whether connecting again may help.
bool is_passing(errc reason) {
    switch (reason) {
        case errc::malformed_frame:
        case errc::frame_too_large:
        case errc::unsupported_version:
        case errc::unknown_request:
        case errc::hello_expected:
        case errc::credit_exceeded:
        case errc::canceled:
        case errc::unauthorized:
        case errc::malformed_record:
        case errc::checksum_mismatch:
        case errc::unknown_compression:
        case errc::invalid_argument: return false;
        default: return true;
    }
}

/// Vigna's splitmix64: enough to spread clients.
std::uint64_t next_random(std::uint64_t& state) {
    auto z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

error protocol_error(std::string what) { return {errc::malformed_frame, std::move(what)}; }

}  // namespace

machine::machine(machine_settings settings)
    : settings_(std::move(settings)),
      talk_{{}, settings_.request_timeout, {}, {}, {}, flatbuffers::FlatBufferBuilder()},
      decoder_(limits::frame_bytes),
      publisher_(talk_, settings_.publishing),
      consumers_(talk_),
      pause_(settings_.pause_min),
      jitter_(settings_.incarnation) {}

// ---- inputs --------------------------------------------------------------------------------------------------------------

void machine::connected(moment now) {
    assert(phase_ == phase::fresh || phase_ == phase::apart);
    phase_ = phase::greeting;
    talk_.now = last_sent_ = last_received_ = last_ping_ = now;
    talk_.waiting.emplace(hello_id, waiting_request{recipient::hello, wire::Message::Welcome, no_ticket, 0, now + settings_.hello_timeout});
    auto& b = talk_.builder;
    const auto token = b.CreateString(settings_.token);
    const auto name = b.CreateString(settings_.name);
    talk_.send(hello_id, wire::CreateHello(b, proto::protocol_version, proto::protocol_version, 0, token, name, broker_.session, session_key_));
}

void machine::received(moment now, std::size_t bytes) {
    if (!is_connected()) return;
    talk_.now = last_received_ = now;
    decoder_.commit(bytes);
    proto::frame frame;
    while (is_connected()) {
        const auto status = decoder_.next(frame);
        if (status == proto::frame_decoder::status::need_more) return;
        if (status == proto::frame_decoder::status::failed) return fail(decoder_.failure());
        if (auto failed = on_frame(frame)) return fail(std::move(failed));
    }
}

void machine::time_passed(moment now) {
    if (phase_ == phase::fresh || phase_ == phase::over) return;
    talk_.now = now;
    expire_requests();
    if (phase_ == phase::over) return;
    publisher_.time_passed();
    if (is_connected()) watch_silence();
}

void machine::lost(error reason) {
    if (phase_ == phase::apart && is_passing(reason.code)) return;  // not connected again: it goes on trying
    fail(reason ? std::move(reason) : error{errc::connection_lost, {}});
}

duration machine::next_pause() {
    auto pause = std::min(pause_, settings_.pause_max);
    pause_ = 2 * pause;
    if (consumers_.has_something_to_return_for()) pause = std::min<duration>(pause, pause_with_leases_max);
    return pause - duration(static_cast<duration::rep>(next_random(jitter_) % static_cast<std::uint64_t>(pause.count() / 2 + 1)));
}

// ---- requests ------------------------------------------------------------------------------------------------------------

error machine::why_not() const {
    if (phase_ == phase::closing) return {errc::canceled, "the connection is closing"};
    return reason_ ? reason_ : error{errc::connection_lost, "there is no connection"};
}

bool machine::may_ask(ticket operation) {
    if (phase_ == phase::serving) return true;
    talk_.complete(operation, why_not());
    return false;
}

/// For what goes on when the connection comes back.
bool machine::may_wait(ticket operation) {
    return is_returning() || may_ask(operation);
}

void machine::publish(ticket operation, std::string_view topic, message&& m, publish_options options) {
    if (phase_ == phase::serving || is_returning()) return publisher_.publish(operation, topic, std::move(m), options);
    talk_.events.emplace_back(published{{operation}, 0, {}, durability::memory, why_not()});
}

void machine::ask(ticket operation, const request& asked) {
    if (!may_ask(operation)) return;
    const auto id = talk_.ask(recipient::request, expected_answers[asked.index()], operation);
    append_request(talk_.builder, id, asked, talk_.out.heads);
}

consumer_number machine::subscribe(ticket operation, const std::string& topic, const std::string& subscription,
                                   const subscribe_options& options) {
    if (!may_ask(operation)) return {};
    return consumers_.open(operation, topic, subscription, options);
}

void machine::unsubscribe(ticket operation, consumer_number number) {
    if (may_wait(operation)) consumers_.close(operation, number);
}

void machine::settle(ticket operation, consumer_number number) {
    if (may_wait(operation)) consumers_.settle(operation, number);
}

void machine::extend(ticket operation, consumer_number number, const delivery& d) {
    if (may_ask(operation)) consumers_.extend(operation, number, d);
}

void machine::close() {
    if (phase_ == phase::fresh || phase_ == phase::greeting || phase_ == phase::apart) return finish({});
    if (phase_ != phase::serving) return;
    phase_ = phase::closing;
    publisher_.hurry();
    consumers_.close_all();
}

// ---- outputs ---------------------------------------------------------------------------------------------------------------

void machine::end_turn() {
    if (phase_ != phase::serving && phase_ != phase::closing) return;
    publisher_.end_turn();
    consumers_.end_turn();
    if (phase_ != phase::closing) return;
    if (talk_.waiting.empty() && publisher_.idle() && consumers_.idle()) return finish({});
    const auto is_given_up = [](const auto& entry) { return entry.second.given_up; };
    if (!talk_.waiting.empty() && std::all_of(talk_.waiting.begin(), talk_.waiting.end(), is_given_up))
        finish({errc::timed_out, "the broker did not answer everything before the connection was closed"});
}

void machine::take_events(std::vector<event>& events) {
    assert(events.empty());
    std::swap(events, talk_.events);
}

void machine::take_output(outgoing& output) {
    assert(output.empty());
    if (!talk_.out.empty()) last_sent_ = talk_.now;
    std::swap(output, talk_.out);
}

// ---- frames ----------------------------------------------------------------------------------------------------------------

error machine::on_frame(const proto::frame& frame) {
    switch (frame.head->message_type()) {
        case wire::Message::Deliver: return consumers_.on_deliver(frame);
        case wire::Message::ConsumerEnded: consumers_.on_ended(*frame.head->message_as_ConsumerEnded()); return {};
        case wire::Message::Ping: talk_.send(frame.head->id(), wire::CreatePong(talk_.builder)); return {};
        case wire::Message::Pong: return {};
        case wire::Message::Goodbye: {
            const auto* goodbye = frame.head->message_as_Goodbye();
            const auto code = static_cast<errc>(goodbye->code());
            return {code == errc::ok ? errc::connection_lost : code, text(goodbye->what())};
        }
        default: return on_answer(frame);
    }
}

/// The request leaves when its answer is taken: a bad answer ends the connection, and with it every request that is still there.
error machine::on_answer(const proto::frame& frame) {
    const auto id = frame.head->id();
    const auto found = talk_.waiting.find(id);
    if (found == talk_.waiting.end())
        return protocol_error("the broker answered request " + std::to_string(id) + ", which waits for no answer");
    const auto& asked = found->second;
    const auto* refusal = frame.head->message_as_Failed();
    if (!refusal && frame.head->message_type() != asked.expected)
        return protocol_error("the broker answered request " + std::to_string(id) + " with " +
                              wire::EnumNameMessage(frame.head->message_type()) + " instead of " + wire::EnumNameMessage(asked.expected));
    auto failed = on_reply(id, asked, refusal ? read_failure(*refusal) : error{}, frame);
    if (!failed) talk_.waiting.erase(found);
    return failed;
}

error machine::on_reply(std::uint64_t id, const waiting_request& asked, const error& refused, const proto::frame& frame) {
    if (asked.taker == recipient::hello) return refused ? refused : on_welcome(*frame.head->message_as_Welcome());
    if (asked.taker == recipient::producer) return on_producer_opened(refused, frame.head->message_as_ProducerOpened());
    if (asked.taker == recipient::metadata) {
        publisher_.on_metadata(id, refused, frame.head->message_as_MetadataOk());
        return {};
    }
    if (asked.taker == recipient::publish) {
        if (refused) return publisher_.on_refused(id, refused);
        publisher_.on_published(id, *frame.head->message_as_Published());
        return {};
    }
    answer content;
    if (const auto* extended = frame.head->message_as_Acked(); extended && asked.taker == recipient::request && extended->limited()) {
        // It asks for one message at a time.
        if (!asked.given_up) talk_.complete(asked.operation, {errc::lease_limit, "the lease is as old as a lease may get"});
        return {};
    }
    if (!refused) {
        auto read = read_answer(frame);
        if (!read) return read.failure();
        assert(read.value());
        content = std::move(*read.value());
    }
    switch (asked.taker) {
        case recipient::ack: consumers_.on_acked(id, asked, refused, std::move(content)); break;
        case recipient::subscribe: consumers_.on_subscribed(asked, refused, std::move(content)); break;
        case recipient::unsubscribe: consumers_.on_unsubscribed(asked, refused); break;
        default:
            if (const auto* topic = std::get_if<topic_description>(&content))
                publisher_.on_topic_seen(topic->name, topic->id, topic->partitions.size());
            if (!asked.given_up) talk_.complete(asked.operation, refused, std::move(content));
    }
    return {};
}

error machine::on_welcome(const wire::Welcome& welcome) {
    if (welcome.version() != proto::protocol_version)
        return {errc::unsupported_version, "the broker chose version " + std::to_string(welcome.version())};
    idle_timeout_ = std::chrono::milliseconds(welcome.idle_timeout());
    publisher_.on_welcome(welcome);
    broker_ = {};
    broker_.broker = text(welcome.broker());
    broker_.session = welcome.session();
    session_key_ = welcome.session_key();
    broker_.epoch = welcome.epoch();
    broker_.level = static_cast<durability>(welcome.durability());
    if (publisher_.is_named() && !publisher_.is_fenced())
        open_producer();
    else
        serve();
    return {};
}

/// Part of the greeting, and of its time.
void machine::open_producer() {
    const auto until = talk_.waiting.at(hello_id).deadline;
    const auto id = talk_.ask(recipient::producer, wire::Message::ProducerOpened);
    talk_.waiting.at(id).deadline = until;
    auto& b = talk_.builder;
    talk_.send(id, wire::CreateOpenProducer(b, b.CreateString(settings_.publishing.producer), settings_.incarnation, was_welcomed_));
}

error machine::on_producer_opened(const error& refused, const wire::ProducerOpened* opened) {
    if (refused && refused.code != errc::producer_fenced) return refused;
    if (refused) {
        publisher_.fence(refused);
    } else {
        publisher_.on_opened(*opened);
        broker_.producer_epoch = opened->epoch();
        if (opened->positions())
            for (const auto* p : *opened->positions()) broker_.producer_positions.push_back({p->topic(), p->partition(), p->number()});
    }
    serve();
    return {};
}

void machine::serve() {
    phase_ = phase::serving;
    was_welcomed_ = true;
    pause_ = settings_.pause_min;
    publisher_.resume();
    consumers_.resume();
    talk_.events.emplace_back(welcomed{broker_});
}

// ---- time --------------------------------------------------------------------------------------------------------------------

void machine::expire_requests() {
    for (auto& [id, asked] : talk_.waiting) {
        if (asked.given_up) continue;
        if (asked.deadline > talk_.now) return;
        if (asked.taker == recipient::hello || asked.taker == recipient::producer) return fail({errc::timed_out, "the broker did not answer the hello, or open the producer, in time"});
        give_up(id, asked);
    }
}

void machine::give_up(std::uint64_t id, waiting_request& asked) {
    asked.given_up = true;
    const error refused{errc::timed_out, "the broker did not answer in time; it may or may not have happened"};
    switch (asked.taker) {
        case recipient::metadata:
        case recipient::publish: return publisher_.give_up(id, asked, refused);
        case recipient::ack:
        case recipient::subscribe:
        case recipient::unsubscribe: return consumers_.give_up(id, asked, refused);
        default: return talk_.complete(asked.operation, refused);
    }
}

/// Pings when either side has been silent for a third of the idle timeout; each ping is answered, so a living broker is never silent for all of it.
void machine::watch_silence() {
    if (idle_timeout_ == duration::zero() || talk_.now < silence_deadline()) return;
    if (talk_.now >= last_received_ + idle_timeout_)
        return fail({errc::idle_timeout, "nothing came from the broker for " +
                                               std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(idle_timeout_).count()) + " ms"});
    last_ping_ = talk_.now;
    talk_.send(0, wire::CreatePing(talk_.builder));
}

moment machine::silence_deadline() const {
    const auto ping = std::max(last_ping_, std::min(last_sent_, last_received_)) + idle_timeout_ / 3;
    return std::min(ping, last_received_ + idle_timeout_);
}

moment machine::next_deadline() const {
    if (phase_ == phase::fresh || phase_ == phase::over) return never;
    auto next = publisher_.next_deadline();
    if (phase_ == phase::apart) return next;
    if (idle_timeout_ != duration::zero()) next = std::min(next, silence_deadline());
    for (const auto& [id, asked] : talk_.waiting) {
        if (asked.given_up) continue;
        return std::min(next, asked.deadline);
    }
    return next;
}

// ---- the end -----------------------------------------------------------------------------------------------------------------

void machine::fail(error reason) {
    if (settings_.reconnects && (phase_ == phase::serving || is_returning()) && is_passing(reason.code))
        interrupt(std::move(reason));
    else
        finish(std::move(reason));
}

void machine::interrupt(error reason) {
    phase_ = phase::apart;
    reason_ = reason;
    ++talk_.connection;
    for (const auto& [id, asked] : talk_.waiting)
        if (!asked.given_up) talk_.complete(asked.operation, reason);
    talk_.waiting.clear();
    talk_.out.clear();
    decoder_ = proto::frame_decoder(limits::frame_bytes);
    publisher_.interrupt(reason, settings_.resends);
    consumers_.interrupt(reason);
}

void machine::finish(error reason) {
    if (phase_ == phase::over) return;
    const bool graceful = !reason;
    phase_ = phase::over;
    reason_ = graceful ? error{errc::connection_lost, "the connection is closed"} : reason;
    // Only single requests are ended here; the parts know the operations behind theirs.
    for (const auto& [id, asked] : talk_.waiting)
        if (!asked.given_up) talk_.complete(asked.operation, reason_);
    talk_.waiting.clear();
    publisher_.fail_all(reason_);
    consumers_.fail_all(reason_);
    talk_.events.emplace_back(ended{std::move(reason)});
}

}  // namespace millrace::client
