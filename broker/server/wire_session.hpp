// One client connection as the protocol sees it: frames in, requests out; answers and pushes in, bytes out. No sockets, no clock.
//
//   bytes ──► prepare/received ──► next() ──► requests for the driver
//   answers, pushes ──► answer()/push() ──► take_output() ──► bytes, answers before pushes, pushes cut at 256 KiB
//
// It holds both credits: what the client may have under way (a client that sends more is closed), and through the core what may be pushed. So the
// broker never stops reading a socket.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "broker/access.hpp"
#include "broker/driver/driver.hpp"
#include "broker/server/push_queue.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"
#include "proto/frame.hpp"

namespace millrace::server {

struct session_settings {
    durability level = durability::disk;
    core::fencing_epoch epoch{};
    std::string broker_name;
    std::uint64_t key = 0;  // of the one session: whoever shows it comes back for what the session held; 0: nobody does
    const access_list* access = nullptr;            // whose tokens may do what; without one nobody is asked. Outlives the sessions
    std::uint32_t publish_messages = 65'536;        // unanswered messages a client may have under way
    std::uint64_t publish_bytes = 8u << 20;         // and their bytes
    std::uint32_t requests = 4096;                  // unanswered requests of any kind
    std::size_t unread_bytes = 32u << 20;           // of answers, before the client counts as a slow reader
    std::size_t unread_records_bytes = 128u << 20;  // of messages, likewise
    std::chrono::milliseconds idle_timeout{30'000};
    std::chrono::milliseconds hello_timeout{5'000};
};

/// The session that the client of a new one says it had. It may not have heard yet that its connection is lost.
struct former_session {
    core::session_id id{};
    std::uint64_t key = 0;
};

using request = std::variant<core::any_input, driver::publish_request, former_session>;

/// Bytes to write, in order: a piece lies in `buffer`, or is a slice of an entry that `owners` keep.
struct output {
    struct piece {
        std::size_t offset = 0;  // in buffer, when slice is empty
        std::size_t size = 0;
        std::span<const std::byte> slice;
    };
    std::vector<std::byte> buffer;
    std::vector<piece> pieces;
    std::vector<core::entry_bytes> owners;
    std::size_t covered = 0;  // bytes of buffer that pieces name
};

class wire_session {
public:
    wire_session(core::session_id id, const session_settings& settings, timestamp now);

    core::session_id id() const { return id_; }
    bool greeted() const { return greeted_; }
    const std::string& client_name() const { return client_name_; }
    const std::string& token_name() const { return who_.name; }  // "" without an access list

    /// Whether `key` came from this session's Welcome.
    bool is_known_by(std::uint64_t key) const { return settings_.key != 0 && key == settings_.key; }

    // ---- from the client ----

    std::span<std::byte> prepare() { return decoder_.prepare(read_bytes); }
    void received(timestamp now, std::size_t n);  // so many bytes at the start of what prepare() returned
    void received(timestamp now, std::span<const std::byte> read_elsewhere);

    /// The next request for the driver, or of a client that comes back, the session to be ended first. Hello and ping are answered here. nullopt: read more, or closing() is set.
    /// A publish_request points into the read buffer: use it before the next call.
    std::optional<request> next();

    // ---- from the broker ----

    void answer(const core::answer& a);
    void answer(driver::peeked p);
    void push(driver::push p);
    void ended(const core::consumer_ended& e);

    /// Ends the conversation: Goodbye with the reason is the last thing written; nothing more is read.
    void close(const error& why);

    /// The access list has changed: ends the session when its token is gone or has fewer rights, so that what it holds goes with them.
    void review_access();

    /// What the time says: hello or idle timeout. Call at least each second.
    void check_time(timestamp now);

    // ---- to the client ----

    bool has_output() const { return !control_.empty() || (!pushes_.empty() && !closing_) || !peeks_.empty(); }
    output take_output();
    bool closing() const { return closing_; }
    const error& close_reason() const { return close_reason_; }

    /// Gives read memory back when nothing is under way.
    void release_idle_memory() { decoder_.release_idle_memory(); }

private:
    static constexpr std::size_t read_bytes = 64u << 10;
    static constexpr std::size_t hello_bytes = 64u << 10;  // of a frame from somebody who has not said who he is
    static constexpr std::size_t push_bytes = 256u << 10;
    static constexpr std::size_t copied_bytes = 2u << 10;  // a smaller slice is cheaper copied than gathered

    struct under_way {
        std::uint32_t messages = 0;
        std::uint64_t bytes = 0;
    };

    std::optional<former_session> hello(const wire::Hello& h);
    error admit(std::string_view token);
    error check_right(wire::Message kind) const;
    std::optional<request> translate(const proto::frame& f);
    std::optional<request> publish(core::origin from, const wire::Publish& p, std::span<const std::byte> body);
    bool begin_request(core::origin from, under_way cost);
    void end_request(core::request_id id);
    void refuse(core::request_id id, const error& why);
    template <class Table>
    void send(core::request_id id, flatbuffers::Offset<Table> message);
    void close_slow_reader();
    void append_runs(output& out, const std::vector<driver::record_run>& runs);
    void append_deliver(output& out);

    core::session_id id_;
    session_settings settings_;
    proto::frame_decoder decoder_;
    flatbuffers::FlatBufferBuilder builder_;

    bool greeted_ = false;
    bool closing_ = false;
    error close_reason_;
    std::string client_name_;
    caller who_;  // with an access list
    token_digest token_{};
    timestamp opened_at_;
    timestamp heard_at_;

    std::unordered_map<std::uint64_t, under_way> requests_;
    std::uint64_t unanswered_messages_ = 0;
    std::uint64_t unanswered_bytes_ = 0;

    std::vector<std::byte> control_;  // whole frames without bodies
    std::deque<driver::peeked> peeks_;
    std::size_t peeked_bytes_ = 0;
    push_queue pushes_;
};

}  // namespace millrace::server
