#include "examples/photo_stack/web/photo_links.hpp"

#include <spdlog/spdlog.h>

#include "examples/photo_stack/photos/object_stores.hpp"
#include "examples/photo_stack/shards/shard_map.hpp"

namespace photo_web {
namespace {

constexpr auto deadline = std::chrono::milliseconds{300};
constexpr auto look_again = std::chrono::milliseconds{300};

bool answers(photo_stack::http_peer& peer) {
    try {
        return peer.ask(boost::beast::http::verb::get, "/healthz").status == 200;
    } catch (const photo_stack::peer_unavailable&) {
        return false;
    }
}

}  // namespace

photo_links::edge::edge(const edge_address& where) : url(where.url), peer(where.inside, deadline) {}

photo_links::photo_links(const std::vector<edge_address>& edges) {
    for (const auto& each : edges) edges_.emplace_back(each);
    if (!edges_.empty()) watcher_ = std::jthread([this](const std::stop_token& ending) { watch(ending); });
}

/// What an edge that is gone had, goes to the next one that lives; the rest stays where it is.
std::string photo_links::of(std::int64_t photo, const std::string& file) const {
    const auto path = photo_stack::path_of_photo_file(photo, file);
    for (std::size_t i = 0; i < edges_.size(); ++i) {
        const auto& each = edges_[(static_cast<std::size_t>(photo_stack::beside_bucket(photo)) + i) % edges_.size()];
        if (each.lives) return each.url + path;
    }
    return path;
}

void photo_links::watch(const std::stop_token& ending) {
    std::unique_lock lock(mutex_);
    while (!ending.stop_requested()) {
        for (auto& each : edges_) {
            const bool lives = answers(each.peer);
            if (lives != each.lives) spdlog::info("the edge {} {}", each.url, lives ? "answers: pages link to it" : "does not answer: pages link elsewhere");
            each.lives = lives;
        }
        ended_.wait_for(lock, ending, look_again, [] { return false; });
    }
}

}  // namespace photo_web
