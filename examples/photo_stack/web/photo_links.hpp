// Where browsers find photos' sizes: at an edge that lives, each photo at the same one as long as it does; or here, when there is none. The path is the same in
// both, so that whoever does not get a file at an edge can ask here.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "examples/photo_stack/photos/http_peer.hpp"

namespace photo_web {

struct edge_address {
    std::string url;      // for browsers: "https://photos-1.example"
    std::string inside;   // for us, to ask how it is: "http://ADDRESS:PORT"
};

/// Thread-safe.
class photo_links {
public:
    /// Throws std::invalid_argument for an address that is none.
    explicit photo_links(const std::vector<edge_address>& edges);

    std::string of(std::int64_t photo, const std::string& file) const;

private:
    struct edge {
        explicit edge(const edge_address& where);
        std::string url;
        photo_stack::http_peer peer;
        std::atomic<bool> lives{false};
    };

    void watch(const std::stop_token& ending);

    std::deque<edge> edges_;
    std::mutex mutex_;
    std::condition_variable_any ended_;
    std::jthread watcher_;
};

}  // namespace photo_web
