// Connections to the shards, each made when it is needed first. One thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <pqxx/connection>
#include <string>

#include "examples/photo_stack/shards/shard_map.hpp"

namespace photo_stack {

/// Everything throws what libpqxx throws.
class shard_connections {
public:
    /// `directory` is a libpq connection string.
    explicit shard_connections(std::string directory) : directory_(std::move(directory)) {}

    /// As it is known, or as it is now.
    const shard_map& map() { return map_ ? *map_ : new_map(); }
    const shard_map& new_map();

    pqxx::connection& to(const shard_part& part);

    /// It has failed: the next one is another.
    void forget(const shard_part& part) { connections_.erase(part.name); }

private:
    std::string directory_;
    std::optional<shard_map> map_;
    std::unique_ptr<pqxx::connection> to_directory_;
    std::map<std::string, std::unique_ptr<pqxx::connection>> connections_;
};

}  // namespace photo_stack
