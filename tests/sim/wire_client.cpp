#include "tests/sim/wire_client.hpp"

#include <algorithm>

namespace millrace::sim {

void wire_client::connect() {
    if (!around_.broker.is_up()) return;
    wire_ = std::make_shared<connection>(around_.events, around_.random, around_.weather);
    decoder_.emplace(limits::frame_bytes);
    wire_->attach(side::client, {[this](std::span<const std::byte> bytes) { received(bytes); }, [this] { drop(); }, {}});
    around_.broker.accept(wire_);
    const auto shows = around_.random.chance(700);  // else the broker finds out by itself that the former session is over
    tell([&](auto& b) {
        return wire::CreateHello(b, proto::protocol_version, proto::protocol_version, 0, 0, 0, shows ? former_ : 0, shows ? former_key_ : 0);
    });
}

void wire_client::cut() {
    if (!wire_) return;
    if (is_welcome()) around_.judge.session_lost(around_.now(), session_);
    around_.noted.note(around_.now(), "cut session", static_cast<std::uint64_t>(session_));
    wire_->cut();
}

void wire_client::leave() {
    if (!wire_) return;
    around_.noted.note(around_.now(), "leave session", static_cast<std::uint64_t>(session_));
    wire_->shut(side::client);
    drop();
}

/// The session is over for this client.
void wire_client::drop() {
    if (is_welcome()) around_.judge.session_lost(around_.now(), session_);
    wire_.reset();
    waiting_.clear();
    const auto was_welcome = is_welcome();
    session_ = {};
    if (was_welcome) on_.lost();
}

void wire_client::received(std::span<const std::byte> bytes) {
    const auto here = wire_;
    decoder_->append(bytes);
    proto::frame f;
    for (;;) {
        const auto status = decoder_->next(f);
        if (status == proto::frame_decoder::status::failed) throw violation("the broker sent bad bytes: " + to_string(decoder_->failure()));
        if (status == proto::frame_decoder::status::need_more) break;
        take(f);
        if (wire_ != here) return;
    }
}

void wire_client::take(const proto::frame& f) {
    switch (f.head->message_type()) {
        case wire::Message::Welcome:
            session_ = session_key{f.head->message_as_Welcome()->session()};
            former_ = f.head->message_as_Welcome()->session();
            former_key_ = f.head->message_as_Welcome()->session_key();
            if (!wire_->is_cut()) return on_.welcomed();
            return;
        case wire::Message::Goodbye: {
            const auto code = static_cast<errc>(f.head->message_as_Goodbye()->code());
            if (code != errc::idle_timeout && code != errc::hello_expected && code != errc::shutting_down && code != errc::slow_reader)
                throw violation(std::string("the broker said goodbye: ") + name_of(code) + " " + f.head->message_as_Goodbye()->what()->str());
            return;
        }
        case wire::Message::Deliver:
        case wire::Message::ConsumerEnded: return on_.pushed(f);
        case wire::Message::Pong: return;
        default: break;
    }
    const auto waiting = waiting_.extract(f.head->id());
    if (waiting.empty()) throw violation("an answer to request " + std::to_string(f.head->id()) + ", which waits for none");
    waiting.mapped()(f);
}

}  // namespace millrace::sim
