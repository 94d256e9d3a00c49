// One broker as a measurement uses it: a side that publishes and a side that consumes, over that broker's own client. All brokers run under the same two
// loops (load.hpp), with the same payloads and the same accounting; what is here is only how each is spoken to.
//
// Threads: a side belongs to the thread that runs it; a peer's other functions are called while none does. Errors: all throw std::runtime_error with the broker's
// or the library's own words; a measurement that met one is none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bench/payload.hpp"

namespace millrace::bench {

struct load_settings;

class publishing_side {
public:
    virtual ~publishing_side() = default;

    /// Asks for one message of `producer` to be stored; `slot` comes back with its answer. May be held back until wait().
    virtual void publish(std::uint64_t slot, std::uint32_t producer, std::string payload) = 0;

    /// Sends what was held back and hands over answers: returns when there was at least one, or at `until`.
    virtual void wait(steady::time_point until) = 0;
};

class consuming_side {
public:
    virtual ~consuming_side() = default;

    /// Hands over what has come, and acks what was accepted: returns when there was at least one message, or at `until`.
    virtual void wait(steady::time_point until) = 0;

    /// Returns when every ack has been answered, where the broker answers them.
    virtual void finish() = 0;
};

using answer_handler = std::function<void(std::uint64_t slot)>;
using message_handler = std::function<bool(std::string_view payload)>;  // whether to ack it

class peer {
public:
    virtual ~peer() = default;

    /// Makes the topic, queue or stream of the run, unless settings name one that is there; and what consumes it.
    virtual void set_up(const load_settings& settings, bool consumes) = 0;
    virtual void tear_down(const load_settings& settings, bool consumes) = 0;

    /// Connected when they return. `settings` outlive the side.
    virtual std::unique_ptr<publishing_side> publish(const load_settings& settings, answer_handler answered) = 0;
    virtual std::unique_ptr<consuming_side> consume(const load_settings& settings, message_handler received) = 0;
};

/// Whose sides are made of settings and a handler.
template <class Publishing, class Consuming>
class peer_of : public peer {
public:
    std::unique_ptr<publishing_side> publish(const load_settings& settings, answer_handler answered) override {
        return std::make_unique<Publishing>(settings, std::move(answered));
    }
    std::unique_ptr<consuming_side> consume(const load_settings& settings, message_handler received) override {
        return std::make_unique<Consuming>(settings, std::move(received));
    }
};

}  // namespace millrace::bench
