// What the parts of the machine share: the frames that go out, the events that come out, and the requests that wait for an answer.
#pragma once

#include <map>
#include <utility>

#include "client/event.hpp"
#include "client/outgoing.hpp"
#include "proto/frame.hpp"

namespace millrace::client {

/// Who takes the answer to a request.
enum class recipient : std::uint8_t { hello, producer, metadata, publish, ack, subscribe, unsubscribe, request };

struct waiting_request {
    recipient taker;
    wire::Message expected;  // the answer that is not Failed
    ticket operation;        // of the caller, where one waits
    std::uint32_t subject;   // the consumer, where there is one
    moment deadline;
    bool given_up = false;  // its operation is over, but the answer still frees credit and must not surprise
};

struct conversation {
    moment now;
    duration request_timeout;
    outgoing out;
    std::vector<event> events;
    std::map<std::uint64_t, waiting_request> waiting;  // by request id; ids and deadlines ascend together
    flatbuffers::FlatBufferBuilder builder;
    std::uint64_t last_id = 0;
    std::uint32_t connection = 1;  // which of the client's this is, or will be

    /// Opens a request: its id goes into the frame, its answer to `taker`.
    std::uint64_t ask(recipient taker, wire::Message expected, ticket operation = no_ticket, std::uint32_t subject = 0) {
        waiting.emplace_hint(waiting.end(), ++last_id, waiting_request{taker, expected, operation, subject, now + request_timeout});
        return last_id;
    }

    /// `id` 0: nothing is answered.
    template <class Table>
    void send(std::uint64_t id, flatbuffers::Offset<Table> message) {
        proto::append_frame(builder, id, message, 0, out.heads);
    }

    template <class Table>
    void send(std::uint64_t id, flatbuffers::Offset<Table> message, const record_buffer& records) {
        proto::append_frame(builder, id, message, records->size(), out.heads);
        out.bodies.push_back({out.heads.size(), records});
    }

    void complete(ticket operation, error refused, answer content = done{}) {
        if (operation == no_ticket) return;
        events.emplace_back(completed{operation, std::move(refused), std::move(content)});
    }
};

}  // namespace millrace::client
