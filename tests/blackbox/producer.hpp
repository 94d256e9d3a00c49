// A named producer, on one connection that comes back by itself through every fault: whatever happens, each of its messages is stored at most once, and
// exactly once when it is answered.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "millrace/client.hpp"
#include "tests/blackbox/scene.hpp"
#include "tests/sim/random.hpp"

namespace millrace::blackbox {

/// Lives on the thread of its host. A handler may outlive it, so what handlers touch is shared.
class producer {
public:
    producer(scene& among, boost::asio::io_context& io, host_number where, const std::string& name, std::uint64_t seed);
    ~producer();

    std::size_t under_way() const;

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace millrace::blackbox
