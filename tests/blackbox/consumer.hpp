// A consumer. It works on its messages as workers do: at once or for a while, renewing its leases or too late, with failures of every kind, and it leaves
// with and without a word. One that comes back keeps its connection through faults, and shows what it had started when it is back; the other begins anew.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "tests/blackbox/scene.hpp"

namespace millrace::blackbox {

/// Lives on the thread of its host.
class consumer {
public:
    consumer(scene& among, boost::asio::io_context& io, host_number where, const subscription_in_use& of, bool comes_back, std::uint64_t seed);
    ~consumer();

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace millrace::blackbox
