#include "broker/server/wire_session.hpp"

#include <algorithm>
#include <utility>

#include "broker/server/permission.hpp"
#include "broker/server/wire_translate.hpp"

namespace millrace::server {
namespace {

std::size_t records_bytes(const std::vector<driver::record_run>& runs) {
    std::size_t bytes = 0;
    for (const auto& r : runs) bytes += r.records.size();
    return bytes;
}

std::vector<wire::Run> wire_runs(const std::vector<driver::record_run>& runs) {
    std::vector<wire::Run> out;
    out.reserve(runs.size());
    for (const auto& r : runs)
        out.emplace_back(r.first.value, r.appended_at.time_since_epoch().count(), r.partition.index, r.count,
                         static_cast<std::uint32_t>(r.records.size()), r.attempt);
    return out;
}

/// Everything in `out.buffer` that no piece covers yet becomes one.
void cover_buffer(output& out) {
    if (out.covered == out.buffer.size()) return;
    out.pieces.push_back({out.covered, out.buffer.size() - out.covered, {}});
    out.covered = out.buffer.size();
}

}  // namespace

wire_session::wire_session(core::session_id id, const session_settings& settings, timestamp now)
    : id_(id), settings_(settings), decoder_(hello_bytes), opened_at_(now), heard_at_(now) {}

void wire_session::received(timestamp now, std::size_t n) {
    heard_at_ = now;
    decoder_.commit(n);
}

void wire_session::received(timestamp now, std::span<const std::byte> read_elsewhere) {
    heard_at_ = now;
    decoder_.append(read_elsewhere);
}

std::optional<request> wire_session::next() {
    while (!closing_) {
        proto::frame f;
        switch (decoder_.next(f)) {
            case proto::frame_decoder::status::need_more: return std::nullopt;
            case proto::frame_decoder::status::failed: close(decoder_.failure()); return std::nullopt;
            case proto::frame_decoder::status::frame: break;
        }
        if (auto r = translate(f)) return r;
    }
    return std::nullopt;
}

std::optional<request> wire_session::translate(const proto::frame& f) {
    const core::request_id id{f.head->id()};
    const core::origin from{id_, id};
    const auto kind = f.head->message_type();
    if (!greeted_) {
        if (kind == wire::Message::Hello) return hello(*f.head->message_as_Hello());
        close({errc::hello_expected, std::string("the first frame is ") + wire::EnumNameMessage(kind) + ", not Hello"});
        return std::nullopt;
    }
    if (auto refused = check_right(kind)) {
        refuse(id, refused);
        return std::nullopt;
    }
    switch (kind) {
        case wire::Message::Publish: return publish(from, *f.head->message_as_Publish(), f.body);
        case wire::Message::Credit: {
            const auto& c = *f.head->message_as_Credit();
            return core::any_input(core::input::credit{id_, core::consumer_id{c.consumer()}, c.messages(), c.bytes()});
        }
        case wire::Message::Ping: send(id, wire::CreatePong(builder_)); return std::nullopt;
        case wire::Message::Unsubscribe: {  // the answer overtakes what is queued, and the number may be taken again
            const core::consumer_id leaving{f.head->message_as_Unsubscribe()->consumer()};
            pushes_.drop(leaving);
            break;
        }
        default: break;
    }
    auto in = to_input(from, *f.head);
    if (!in) {
        refuse(id, {errc::unknown_request, std::string("a broker does not take ") + wire::EnumNameMessage(kind)});
        return std::nullopt;
    }
    const auto answered = kind != wire::Message::Start;
    if (answered && !begin_request(from, {})) return std::nullopt;
    return in;
}

std::optional<former_session> wire_session::hello(const wire::Hello& h) {
    if (h.version_min() > proto::protocol_version || h.version_max() < proto::protocol_version) {
        close({errc::unsupported_version, "the client speaks versions " + std::to_string(h.version_min()) + " to " + std::to_string(h.version_max()) +
                                              ", this broker " + std::to_string(proto::protocol_version)});
        return std::nullopt;
    }
    if (h.name()) client_name_ = h.name()->str().substr(0, limits::name_bytes);
    if (auto refused = admit(h.token() ? h.token()->string_view() : std::string_view())) {
        close(refused);
        return std::nullopt;
    }
    greeted_ = true;
    decoder_.accept_frames_up_to(limits::frame_bytes);
    const auto name = builder_.CreateString(settings_.broker_name);
    send(core::request_id{}, wire::CreateWelcome(builder_, proto::protocol_version, 0, name, static_cast<std::uint64_t>(id_),
                                                 static_cast<std::uint64_t>(settings_.epoch), static_cast<wire::Durability>(settings_.level),
                                                 settings_.publish_messages, settings_.publish_bytes, limits::frame_bytes,
                                                 limits::message_bytes, static_cast<std::uint32_t>(settings_.idle_timeout.count()), settings_.key));
    if (h.former_key() == 0) return std::nullopt;
    return former_session{core::session_id{h.former_session()}, h.former_key()};
}

error wire_session::admit(std::string_view token) {
    if (!settings_.access) return {};
    token_ = digest_of(token);
    auto who = settings_.access->find(token_);
    if (!who) return unknown_token(token);
    who_ = std::move(*who);
    return {};
}

error wire_session::check_right(wire::Message kind) const {
    if (!settings_.access) return {};
    const auto needed = needed_for(kind);
    if (who_.may.allow(needed)) return {};
    return missing_right(who_, needed, wire::EnumNameMessage(kind));
}

void wire_session::review_access() {
    if (!settings_.access || !greeted_) return;
    const auto now = settings_.access->find(token_);
    if (!now)
        close({errc::unauthorized, "the token of '" + who_.name + "' was taken away"});
    else if (!now->may.cover(who_.may))
        close({errc::forbidden, "the token of '" + who_.name + "' now has fewer rights (" + to_string(now->may) + "): connect again"});
    else
        who_ = *now;
}

std::optional<request> wire_session::publish(core::origin from, const wire::Publish& p, std::span<const std::byte> body) {
    if (!begin_request(from, {p.count(), body.size()})) return std::nullopt;
    return driver::publish_request{from, {core::topic_id{p.topic()}, p.partition()}, p.count(), static_cast<durability>(p.durability()), body,
                                   {core::producer_id{p.producer()}, p.producer_epoch(), p.number(), 0}};
}

bool wire_session::begin_request(core::origin from, under_way cost) {
    const auto alone = unanswered_messages_ == 0;
    const auto fits = unanswered_messages_ + cost.messages <= settings_.publish_messages &&
                      unanswered_bytes_ + cost.bytes <= settings_.publish_bytes;
    if (cost.messages > 0 && !fits && !alone) {
        close({errc::credit_exceeded, std::to_string(unanswered_messages_ + cost.messages) + " messages and " +
                                          std::to_string(unanswered_bytes_ + cost.bytes) + " bytes are unanswered, of " +
                                          std::to_string(settings_.publish_messages) + " and " + std::to_string(settings_.publish_bytes)});
        return false;
    }
    if (requests_.size() >= settings_.requests) {
        close({errc::credit_exceeded, "more than " + std::to_string(settings_.requests) + " requests are unanswered"});
        return false;
    }
    if (!requests_.emplace(static_cast<std::uint64_t>(from.request), cost).second) {
        close({errc::malformed_frame, "request id " + std::to_string(static_cast<std::uint64_t>(from.request)) + " is under way already"});
        return false;
    }
    unanswered_messages_ += cost.messages;
    unanswered_bytes_ += cost.bytes;
    return true;
}

void wire_session::end_request(core::request_id id) {
    const auto it = requests_.find(static_cast<std::uint64_t>(id));
    if (it == requests_.end()) return;
    unanswered_messages_ -= it->second.messages;
    unanswered_bytes_ -= it->second.bytes;
    requests_.erase(it);
}

template <class Table>
void wire_session::send(core::request_id id, flatbuffers::Offset<Table> message) {
    proto::append_frame(builder_, static_cast<std::uint64_t>(id), message, 0, control_);
    if (control_.size() > settings_.unread_bytes && !closing_)
        close({errc::slow_reader, std::to_string(control_.size()) + " bytes of answers wait to be read"});
}

void wire_session::refuse(core::request_id id, const error& why) {
    send(id, wire::CreateFailed(builder_, static_cast<std::uint16_t>(why.code), builder_.CreateString(why.what)));
}

void wire_session::answer(const core::answer& a) {
    end_request(a.to.request);
    append_answer(builder_, a, settings_.level, control_);
    if (control_.size() > settings_.unread_bytes && !closing_)
        close({errc::slow_reader, std::to_string(control_.size()) + " bytes of answers wait to be read"});
}

void wire_session::answer(driver::peeked p) {
    end_request(p.to.request);
    peeked_bytes_ += records_bytes(p.runs);
    peeks_.push_back(std::move(p));
    close_slow_reader();
}

void wire_session::push(driver::push p) {
    pushes_.add(std::move(p));
    close_slow_reader();
}

/// What waits here keeps entries in memory, so it goes with the reason.
void wire_session::close_slow_reader() {
    const auto unread = peeked_bytes_ + pushes_.bytes();
    if (unread <= settings_.unread_records_bytes) return;
    if (!closing_) close({errc::slow_reader, std::to_string(unread) + " bytes of messages wait to be read"});
    peeks_.clear();
    peeked_bytes_ = 0;
    pushes_.clear();
}

void wire_session::ended(const core::consumer_ended& e) {
    pushes_.drop(e.consumer);  // is not sent, and not counted against the client either
    send(core::request_id{}, wire::CreateConsumerEnded(builder_, static_cast<std::uint32_t>(e.consumer), static_cast<std::uint16_t>(e.why.code),
                                                       builder_.CreateString(e.why.what)));
}

void wire_session::close(const error& why) {
    if (closing_) return;
    closing_ = true;
    close_reason_ = why;
    send(core::request_id{}, wire::CreateGoodbye(builder_, static_cast<std::uint16_t>(why.code),
                                                 builder_.CreateString(why.what.empty() ? error_category().message(static_cast<int>(why.code)) : why.what)));
}

void wire_session::check_time(timestamp now) {
    if (!greeted_ && now - opened_at_ > settings_.hello_timeout)
        close({errc::hello_expected, "no hello came within " + std::to_string(settings_.hello_timeout.count()) + " ms"});
    else if (now - heard_at_ > settings_.idle_timeout)
        close({errc::idle_timeout, "nothing was heard for " + std::to_string(settings_.idle_timeout.count()) + " ms: send Ping"});
}

output wire_session::take_output() {
    output out;
    out.buffer = std::exchange(control_, {});
    while (!peeks_.empty()) {
        auto p = std::move(peeks_.front());
        peeks_.pop_front();
        peeked_bytes_ -= records_bytes(p.runs);
        const auto runs = wire_runs(p.runs);
        const auto list = builder_.CreateVectorOfStructs(runs);
        proto::append_frame(builder_, static_cast<std::uint64_t>(p.to.request), wire::CreatePeeked(builder_, p.start.value, p.high.value, list),
                            records_bytes(p.runs), out.buffer);
        append_runs(out, p.runs);
    }
    if (!pushes_.empty() && !closing_) append_deliver(out);
    cover_buffer(out);
    return out;
}

void wire_session::append_deliver(output& out) {
    const auto next = pushes_.take(push_bytes);
    const auto list = builder_.CreateVectorOfStructs(wire_runs(next.runs));
    proto::append_frame(builder_, 0, wire::CreateDeliver(builder_, static_cast<std::uint32_t>(next.consumer), list), next.bytes, out.buffer);
    append_runs(out, next.runs);
}

void wire_session::append_runs(output& out, const std::vector<driver::record_run>& runs) {
    for (const auto& r : runs) {
        if (r.records.size() < copied_bytes) {
            out.buffer.insert(out.buffer.end(), r.records.begin(), r.records.end());
            continue;
        }
        cover_buffer(out);
        out.pieces.push_back({0, r.records.size(), r.records});
        out.owners.push_back(r.owner);
    }
}

}  // namespace millrace::server
