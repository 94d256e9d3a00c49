// A client's life with a broker, without IO: bytes, requests and time go in, bytes and events come out. Deterministic: the same inputs
// give the same outputs. One thread at a time.
//
//   construct ─► connected ─hello─► (Welcome, ProducerOpened) welcomed ─► requests … ─► close ─► everything answered ─► ended
//                  ▲ └──── lost · Goodbye · malformed bytes · silence: every operation gets its event, then ended with the reason ────┘
//                  └── apart ◄── or, once welcomed and if it may: single requests get their event; publishes and consumers wait and go on
//
// A turn of its caller: any inputs; take_events() and act on them; end_turn(); then write what take_output() gives and come back at
// next_deadline(). Acks and messages gathered during a turn go out together at its end; a batch that is full may be taken before.
#pragma once

#include <string>
#include <string_view>

#include "client/consumers.hpp"
#include "client/conversation.hpp"
#include "client/publisher.hpp"
#include "client/request.hpp"

namespace millrace::client {

struct machine_settings {
    std::string token;
    std::string name;
    duration hello_timeout = std::chrono::seconds(5);
    duration request_timeout = std::chrono::seconds(30);
    publisher_settings publishing;
    /// Random: a named producer that comes back is told by it from one that takes over, and clients that lose the same broker do not all come back at once.
    std::uint64_t incarnation = 0;
    bool reconnects = false;
    bool resends = true;  // publishes that were sent and not answered before the connection was lost
    duration pause_min = std::chrono::milliseconds(100);
    duration pause_max = std::chrono::seconds(5);
};

class machine {
public:
    explicit machine(machine_settings settings);
    machine(const machine&) = delete;
    machine& operator=(const machine&) = delete;

    // ---- inputs; `now` never goes back ----

    /// The transport is open: the hello goes out. Once, and again after each next_pause().
    void connected(moment now);

    /// Where to read the next bytes into. Invalidated by received().
    std::span<std::byte> read_buffer() { return decoder_.prepare(read_bytes_min); }
    void received(moment now, std::size_t bytes);

    /// To be told at the start of every turn that asks for something, and at next_deadline().
    void time_passed(moment now);

    /// The transport failed or the other side closed it. An empty reason becomes connection_lost.
    void lost(error reason);

    /// Apart: how long to wait before the next attempt to connect. Grows with each call until the broker welcomes the client; not above half a
    /// second while leases wait to be taken up again.
    duration next_pause();

    // ---- requests: each ticket comes back in exactly one event; before `welcomed` and after `ended` at once, with an error ----

    void publish(ticket operation, std::string_view topic, message&& m, publish_options options = {});
    void ask(ticket operation, const request& asked);
    /// The consumer may be named in other calls from now on; deliveries follow the completion.
    consumer_number subscribe(ticket operation, const std::string& topic, const std::string& subscription, const subscribe_options& options);
    void unsubscribe(ticket operation, consumer_number number);
    bool start(consumer_number number, const delivery& d) { return consumers_.start(number, d); }
    void ack(consumer_number number, const delivery& d) { consumers_.give(number, d, hand_in::ack, {}); }
    void nack(consumer_number number, const delivery& d, const std::string& reason) { consumers_.give(number, d, hand_in::nack, reason); }
    void reject(consumer_number number, const delivery& d, const std::string& reason) { consumers_.give(number, d, hand_in::reject, reason); }
    void release(consumer_number number, const delivery& d) { consumers_.give(number, d, hand_in::release, {}); }
    void extend(ticket operation, consumer_number number, const delivery& d);
    void stop(consumer_number number) { consumers_.stop(number); }
    void set_aside(consumer_number number, const delivery& d) { consumers_.set_aside(number, d); }
    void settle(ticket operation, consumer_number number);

    /// Takes no more requests, gives back what consumers hold, and ends without an error when all is answered.
    void close();

    // ---- outputs ----

    void end_turn();

    /// Swaps: `events` must be empty, its memory is used again.
    void take_events(std::vector<event>& events);
    void take_output(outgoing& output);
    bool has_output() const noexcept { return !talk_.out.empty(); }
    bool has_events() const noexcept { return !talk_.events.empty(); }

    /// When time_passed() and end_turn() have something to do; `never` when nothing waits.
    moment next_deadline() const;

    bool is_over() const noexcept { return phase_ == phase::over; }
    /// A transport is open and in use.
    bool is_connected() const noexcept { return phase_ == phase::greeting || phase_ == phase::serving || phase_ == phase::closing; }

private:
    static constexpr std::size_t read_bytes_min = 64 * 1024;

    enum class phase : std::uint8_t { fresh, greeting, serving, closing, apart, over };

    error why_not() const;
    bool may_ask(ticket operation);
    bool may_wait(ticket operation);
    bool is_returning() const noexcept { return was_welcomed_ && (phase_ == phase::apart || phase_ == phase::greeting); }
    void fail(error reason);
    void interrupt(error reason);
    error on_frame(const proto::frame& frame);
    error on_answer(const proto::frame& frame);
    error on_welcome(const wire::Welcome& welcome);
    error on_producer_opened(const error& refused, const wire::ProducerOpened* opened);
    void open_producer();
    void serve();
    error on_reply(std::uint64_t id, const waiting_request& asked, const error& refused, const proto::frame& frame);
    void expire_requests();
    void give_up(std::uint64_t id, waiting_request& asked);
    void watch_silence();
    moment silence_deadline() const;
    void finish(error reason);

    machine_settings settings_;
    phase phase_ = phase::fresh;
    error reason_;
    conversation talk_;
    proto::frame_decoder decoder_;
    publisher publisher_;
    consumers consumers_;
    broker_description broker_;
    std::uint64_t session_key_ = 0;  // of broker_.session, which the broker is to end when this client comes back
    bool was_welcomed_ = false;
    duration pause_;  // before the next attempt to connect; doubles until the broker welcomes the client
    std::uint64_t jitter_;
    duration idle_timeout_{};  // 0: the broker waits for ever
    moment last_sent_{};
    moment last_received_{};
    moment last_ping_{};
};

}  // namespace millrace::client
