#include "examples/photo_stack/shards/shard_connections.hpp"

#include <pqxx/nontransaction>
#include <utility>

#include "examples/photo_stack/shards/database_connection.hpp"

namespace photo_stack {

const shard_map& shard_connections::new_map() {
    auto connection = to_directory_ ? std::move(to_directory_) : connect(directory_);  // one that fails is not kept
    {
        pqxx::nontransaction tx(*connection);
        map_ = read_shard_map(tx);
    }
    to_directory_ = std::move(connection);
    return *map_;
}

pqxx::connection& shard_connections::to(const shard_part& part) {
    auto& there = connections_[part.name];
    if (!there) there = connect(address_of(directory_, part));
    return *there;
}

}  // namespace photo_stack
