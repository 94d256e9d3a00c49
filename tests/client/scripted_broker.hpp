// The other side of a machine under test: reads what the machine wrote, answers what a script says, counts what completed.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "client/machine.hpp"
#include "proto/record.hpp"

namespace millrace::client {

using namespace std::chrono_literals;

/// A frame that the machine wrote.
struct sent_frame {
    std::vector<std::uint64_t> head_bytes;  // aligned
    std::vector<std::byte> body;

    const wire::Frame& head() const { return *wire::GetFrame(head_bytes.data()); }
    wire::Message kind() const { return head().message_type(); }
    std::uint64_t id() const { return head().id(); }
};

struct welcome_terms {
    std::uint32_t publish_messages = 1000;
    std::uint64_t publish_bytes = 1u << 20;
    std::uint32_t message_bytes_max = 8u << 20;
    std::uint32_t idle_timeout = 30'000;
    std::uint64_t session = 7;
    std::uint64_t session_key = 0;
};

/// How an operation ended.
struct outcome {
    error refused;
    sequence at;
    std::uint32_t partition = 0;
    answer content;
};

inline std::vector<std::byte> records_of(const std::vector<message>& messages) {
    proto::record_encoder encoder;
    std::vector<std::byte> out;
    for (const auto& m : messages) encoder.append(m, proto::compression::none, out);
    return out;
}

class scripted_broker {
public:
    explicit scripted_broker(machine_settings settings = {}) : m(std::move(settings)) {}

    machine m;
    moment now = moment(1h);
    std::deque<sent_frame> sent;                        // not answered by the script yet
    std::map<std::uint64_t, std::vector<outcome>> done;  // by ticket: exactly one each in the end
    std::vector<delivery> deliveries;
    std::vector<consumer_ended> ended_consumers;
    std::vector<consumer_number> interrupted;
    std::vector<lost_range> leases_gone;
    std::vector<error> endings;
    int welcomes = 0;

    // ---- turns ----

    void turn() {
        std::vector<event> events;
        m.take_events(events);
        for (auto& e : events) std::visit([this](auto& content) { note(content); }, e);
        m.end_turn();
        read_output();
    }

    void pass(duration d) {
        now += d;
        m.time_passed(now);
        turn();
    }

    void greet(welcome_terms terms = {}) {
        m.connected(now);
        turn();
        auto& b = builder_;
        answer_with(wire::Message::Hello, wire::CreateWelcome(b, 1, 0, b.CreateString("scripted 1"), terms.session, 9, wire::Durability::disk,
                                                              terms.publish_messages, terms.publish_bytes, 16u << 20,
                                                              terms.message_bytes_max, terms.idle_timeout, terms.session_key));
    }

    // ---- answers ----

    /// Answers the oldest unanswered request of a kind.
    template <class Table>
    void answer_with(wire::Message asked, flatbuffers::Offset<Table> message, const std::vector<std::byte>& body = {}) {
        feed(take(asked).id(), message, body);
    }

    template <class Table>
    void push(flatbuffers::Offset<Table> message, const std::vector<std::byte>& body = {}) { feed(0, message, body); }

    void refuse(wire::Message asked, errc code, const std::string& what = "no") {
        answer_with(asked, wire::CreateFailed(builder_, static_cast<std::uint16_t>(code), builder_.CreateString(what)));
    }

    void know_topic(const std::string& name, std::uint32_t id, std::uint32_t partitions) {
        auto& b = builder_;
        const std::vector<std::uint32_t> owners(partitions, 0);
        const auto places = wire::CreateTopicPlaces(b, b.CreateString(name), id, b.CreateVector(owners));
        const auto topics = b.CreateVector(&places, 1);
        answer_with(wire::Message::Metadata, wire::CreateMetadataOk(b, 1, 0, topics));
    }

    void publish_done(std::uint64_t first) {
        answer_with(wire::Message::Publish, wire::CreatePublished(builder_, first, wire::Durability::disk));
    }

    void acked(const std::vector<wire::LeaseRange>& lost = {}) { handed_in(wire::Message::Ack, lost); }

    /// Answers the oldest Ack, Nack, Reject, Release or Extend.
    void handed_in(wire::Message kind, const std::vector<wire::LeaseRange>& lost = {}) {
        answer_with(kind, wire::CreateAckedDirect(builder_, &lost));
    }

    void subscribed(const std::vector<wire::LeaseRange>& lost = {}) {
        answer_with(wire::Message::Subscribe, wire::CreateSubscribedDirect(builder_, 5, 1, 30'000, &lost));
    }

    /// The transport fails. What was written and not answered is forgotten.
    void cut() {
        m.lost({});
        turn();
        sent.clear();
    }

    void deliver(consumer_number to, std::uint32_t partition, std::uint64_t first, const std::vector<message>& messages,
                 std::uint32_t attempt = 1) {
        feed_bytes(deliver_frame(to, partition, first, messages, attempt));
    }

    /// Messages and a goodbye that come together.
    void last_words(consumer_number to, std::uint32_t partition, std::uint64_t first, const std::vector<message>& messages, errc code) {
        auto bytes = deliver_frame(to, partition, first, messages, 1);
        proto::append_frame(builder_, 0, wire::CreateGoodbye(builder_, static_cast<std::uint16_t>(code), builder_.CreateString("no more")), 0, bytes);
        feed_bytes(bytes);
    }

    void goodbye(errc code, const std::string& what) {
        push(wire::CreateGoodbye(builder_, static_cast<std::uint16_t>(code), builder_.CreateString(what)));
    }

    /// A frame with this id, whether it was asked for or not.
    template <class Table>
    void feed(std::uint64_t id, flatbuffers::Offset<Table> message, const std::vector<std::byte>& body) {
        feed_bytes(frame(id, message, body));
    }

    void feed_bytes(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            auto room = m.read_buffer();
            const auto n = std::min(room.size(), bytes.size());
            std::copy_n(bytes.begin(), n, room.begin());
            m.received(now, n);
            bytes = bytes.subspan(n);
        }
        turn();
    }

    // ---- what was sent ----

    /// The oldest unanswered frame of a kind; it counts as answered. Throws when there is none: the script is wrong.
    sent_frame take(wire::Message kind) {
        for (auto i = sent.begin(); i != sent.end(); ++i) {
            if (i->kind() != kind) continue;
            auto found = std::move(*i);
            sent.erase(i);
            return found;
        }
        throw std::runtime_error(std::string("nothing sent of kind ") + wire::EnumNameMessage(kind));
    }

    std::size_t count(wire::Message kind) const {
        return static_cast<std::size_t>(std::count_if(sent.begin(), sent.end(), [&](const sent_frame& f) { return f.kind() == kind; }));
    }

    const outcome& only(std::uint64_t operation) const { return done.at(operation).at(0); }

    flatbuffers::FlatBufferBuilder& builder() { return builder_; }

private:
    template <class Table>
    std::vector<std::byte> frame(std::uint64_t id, flatbuffers::Offset<Table> message, const std::vector<std::byte>& body) {
        std::vector<std::byte> bytes;
        proto::append_frame(builder_, id, message, body.size(), bytes);
        bytes.insert(bytes.end(), body.begin(), body.end());
        return bytes;
    }

    std::vector<std::byte> deliver_frame(consumer_number to, std::uint32_t partition, std::uint64_t first, const std::vector<message>& messages,
                                         std::uint32_t attempt) {
        const auto body = records_of(messages);
        const std::vector<wire::Run> runs{wire::Run(first, 1'000'000, partition, static_cast<std::uint32_t>(messages.size()),
                                                    static_cast<std::uint32_t>(body.size()), attempt)};
        return frame(0, wire::CreateDeliverDirect(builder_, static_cast<std::uint32_t>(to), &runs), body);
    }

    /// What the machine wrote is verified by the codec, and kept from the bytes themselves.
    void read_output() {
        outgoing out;
        m.take_output(out);
        std::vector<std::byte> bytes;
        out.gather([&](std::span<const std::byte> piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
        verify(bytes);
        for (std::size_t at = 0; at < bytes.size();) {
            std::uint32_t length = 0, head = 0;
            std::memcpy(&length, bytes.data() + at, 4);
            std::memcpy(&head, bytes.data() + at + 4, 4);
            const auto* start = bytes.data() + at + proto::frame_prefix_bytes;
            sent_frame kept{std::vector<std::uint64_t>(head / 8), {start + head, start + length}};
            std::memcpy(kept.head_bytes.data(), start, head);
            sent.push_back(std::move(kept));
            at += proto::frame_prefix_bytes + length;
        }
    }

    static void verify(const std::vector<std::byte>& bytes) {
        proto::frame_decoder decoder(limits::frame_bytes);
        decoder.append(bytes);
        proto::frame f;
        while (decoder.next(f) == proto::frame_decoder::status::frame) continue;
        if (decoder.failure() || decoder.buffered_bytes() != 0) throw std::runtime_error("the machine wrote a bad frame: " + to_string(decoder.failure()));
    }

    void note(completed& e) { done[static_cast<std::uint64_t>(e.operation)].push_back({e.refused, {}, 0, std::move(e.content)}); }
    void note(published& e) {
        auto at = e.first;
        for (const auto operation : e.operations) {
            auto& outcomes = done[static_cast<std::uint64_t>(operation)];
            outcomes.push_back({e.refused, at, e.partition, {}});
            ++at;
        }
    }
    void note(delivered& e) {
        deliveries.insert(deliveries.end(), std::make_move_iterator(e.deliveries.begin()), std::make_move_iterator(e.deliveries.end()));
    }
    void note(consumer_interrupted& e) { interrupted.push_back(e.consumer); }
    void note(leases_lost& e) { leases_gone.insert(leases_gone.end(), e.ranges.begin(), e.ranges.end()); }
    void note(consumer_ended& e) { ended_consumers.push_back(e); }
    void note(welcomed&) { ++welcomes; }
    void note(ended& e) { endings.push_back(e.reason); }

    flatbuffers::FlatBufferBuilder builder_;
};

}  // namespace millrace::client
