#include "bench/peers/peers.hpp"

#include <functional>
#include <map>

namespace millrace::bench {
namespace {

const std::map<std::string, std::function<std::unique_ptr<peer>()>>& all_peers() {
    static const std::map<std::string, std::function<std::unique_ptr<peer>()>> all{
        {"millrace", make_millrace},
#ifdef MILLRACE_COMPARE
        {"beanstalkd", make_beanstalkd},
        {"kafka", make_kafka},
        {"nats", make_nats},
        {"rabbitmq-classic", [] { return make_rabbitmq("classic"); }},
        {"rabbitmq-quorum", [] { return make_rabbitmq("quorum"); }},
        {"rabbitmq-stream", [] { return make_rabbitmq("stream"); }},
        {"redis", make_redis},
#endif
    };
    return all;
}

}  // namespace

std::vector<std::string> peer_names() {
    std::vector<std::string> names;
    for (const auto& [name, make] : all_peers()) names.push_back(name);
    return names;
}

std::unique_ptr<peer> make_peer(const std::string& name) { return all_peers().at(name)(); }

}  // namespace millrace::bench
