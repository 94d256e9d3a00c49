// From the outbox to the topic, each row once as far as the broker's memory of its producers goes, and at least once beyond that.
#pragma once

#include <atomic>
#include <string>

#include "millrace/client_types.hpp"

namespace photo_relay {

struct outbox_settings {
    std::string database;                          // a libpq connection string, of one shard
    millrace::client::connection_settings broker;  // with the name of a producer, which is this relay's alone
    std::string relay;                             // whose rows it publishes, and those of relays that have stood still for a while
};

/// Publishes until `ending`. Throws when the broker or the database fails: nothing is lost by that, and another call goes on.
void relay_outbox(const outbox_settings& settings, const std::atomic<bool>& ending);

}  // namespace photo_relay
