// Orders for the storekeeper, from their table to the topic, each at least once: to do one twice does no harm, so that they need no numbers.
#pragma once

#include <atomic>
#include <string>

#include "millrace/client_types.hpp"

namespace photo_relay {

struct repairs_settings {
    std::string database;                          // a libpq connection string, of one shard
    millrace::client::connection_settings broker;
};

/// Publishes until `ending`. Throws when the broker or the database fails: nothing is lost by that, and another call goes on.
void relay_repairs(const repairs_settings& settings, const std::atomic<bool>& ending);

}  // namespace photo_relay
