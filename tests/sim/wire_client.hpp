// A client that writes frames by hand: everything the protocol allows, also what the client library would never do.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "proto/frame.hpp"
#include "tests/sim/surroundings.hpp"

namespace millrace::sim {

class wire_client {
public:
    struct handlers {
        std::function<void()> welcomed;
        std::function<void(const proto::frame&)> pushed;
        std::function<void()> lost;
    };
    using answered = std::function<void(const proto::frame&)>;  // Failed too

    wire_client(surroundings& around, handlers on) : around_(around), on_(std::move(on)) {}

    bool is_open() const { return wire_ != nullptr; }
    bool is_welcome() const { return session_ != session_key{}; }
    session_key session() const { return session_; }
    connection* wire() const { return wire_.get(); }

    /// REQUIRES !is_open(). Nothing happens while the broker is down.
    void connect();

    /// The connection is cut: both sides hear of it later.
    void cut();
    /// Leaves in order, without a word.
    void leave();

    /// `make(builder)` gives the table. The answer goes to `then`, unless the connection is lost first.
    template <class Make>
    void ask(Make make, answered then) {
        waiting_[++last_id_] = std::move(then);
        send(last_id_, make);
    }
    template <class Make>
    void tell(Make make) {
        send(0, make);
    }
    template <class Make>
    void ask_with(const std::vector<std::byte>& body, Make make, answered then) {
        waiting_[++last_id_] = std::move(then);
        send(last_id_, make, body);
    }

private:
    template <class Make>
    void send(std::uint64_t id, Make make, const std::vector<std::byte>& body = {}) {
        std::vector<std::byte> bytes;
        proto::append_frame(builder_, id, make(builder_), body.size(), bytes);
        bytes.insert(bytes.end(), body.begin(), body.end());
        wire_->send(side::client, std::move(bytes));
    }
    void received(std::span<const std::byte> bytes);
    void take(const proto::frame& f);
    void drop();

    surroundings& around_;
    handlers on_;
    std::shared_ptr<connection> wire_;
    std::optional<proto::frame_decoder> decoder_;
    flatbuffers::FlatBufferBuilder builder_;
    session_key session_{};
    std::uint64_t former_ = 0;  // the session before, which may not be over for the broker yet
    std::uint64_t former_key_ = 0;
    std::map<std::uint64_t, answered> waiting_;
    std::uint64_t last_id_ = 0;
};

}  // namespace millrace::sim
