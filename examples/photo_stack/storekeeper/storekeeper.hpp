// Sees to it that object stores and edges have of a photo what its row says: all stores the same files; or, when it was deleted, none of them, and no edge either; so
// for a version of it that nobody asks for any more.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <pqxx/connection>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/http_peer.hpp"
#include "examples/photo_stack/photos/object_stores.hpp"
#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/shards/shard_connections.hpp"

namespace photo_storekeeper {

/// One thread. Of several storekeepers one is at a photo at a time: what one copies another one must not remove meanwhile.
class storekeeper {
public:
    /// `edges`: "http://ADDRESS:PORT" each, where they take purges. `directory`: a libpq connection string, of the first shard.
    storekeeper(const std::vector<std::string>& stores, const std::vector<std::string>& edges, std::string directory);

    /// Does what can be done now. Throws when that was not all, or another storekeeper is at that photo: it is to be tried again.
    void settle(const photo_stack::store_repair& repair);

private:
    void settle_alone(const photo_stack::store_repair& repair);
    bool is_there(std::int64_t photo);
    void clear_version_away(std::int64_t photo, int version);
    void purge(std::int64_t photo, const std::vector<std::string>& files, bool removed);  // after they were to be removed from the stores

    photo_stack::object_stores stores_;
    std::deque<photo_stack::http_peer> edges_;
    std::string directory_;
    std::unique_ptr<pqxx::connection> locks_;  // to the directory
    photo_stack::shard_connections shards_;
};

}  // namespace photo_storekeeper
