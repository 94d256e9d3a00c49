// From the workers' results to the catalog: a size that is there, or that there will be none; and the outbox row goes with the last one.
#pragma once

#include <atomic>
#include <string>

#include "millrace/client_types.hpp"

namespace photo_relay {

struct inbox_settings {
    std::string database;                          // a libpq connection string: the directory's
    millrace::client::connection_settings broker;
};

/// Takes results in until `ending`. A result is acked when what it says is committed: it may come twice, and has its effect once. A shard that fails gets its
/// own again later. Throws when the broker or the directory fails: nothing is lost by that, and another call goes on.
void take_results_in(const inbox_settings& settings, const std::atomic<bool>& ending);

}  // namespace photo_relay
