// Asks the broker, from its own host, for the states of all subscriptions, again and again: for the checker, and to know when everything is settled.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "tests/blackbox/scene.hpp"

namespace millrace::blackbox {

/// Lives on the thread of its host.
class watcher {
public:
    watcher(scene& among, boost::asio::io_context& io);
    ~watcher();

    /// As the newest round of answers says: every message is acked, dead or parked, and every dead one has arrived where it went.
    bool is_at_rest() const;
    /// How many rounds there have been.
    std::uint64_t rounds() const;
    /// What is not at rest, for people.
    std::string restless() const;

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace millrace::blackbox
