// The brokers that can be measured, each one file here: Millrace in millrace-bench, all in millrace-compare.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/peer.hpp"

namespace millrace::bench {

std::vector<std::string> peer_names();

/// REQUIRES: one of peer_names().
std::unique_ptr<peer> make_peer(const std::string& name);

std::unique_ptr<peer> make_millrace();
std::unique_ptr<peer> make_beanstalkd();
std::unique_ptr<peer> make_kafka();
std::unique_ptr<peer> make_nats();
std::unique_ptr<peer> make_rabbitmq(const std::string& queue_type);  // classic, quorum, stream
std::unique_ptr<peer> make_redis();

}  // namespace millrace::bench
