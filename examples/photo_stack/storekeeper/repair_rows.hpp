// The storekeeper's orders right from their table, where there is no queue that they would be carried to.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "examples/photo_stack/photos/photo_messages.hpp"

namespace photo_storekeeper {

/// Each row goes when `settle` returns, and is tried again later when it throws. Until `ending`. Throws when the database fails: nothing is lost by that, and
/// another call goes on.
void settle_rows(const std::string& database, const std::function<void(const photo_stack::store_repair&)>& settle, const std::atomic<bool>& ending);

}  // namespace photo_storekeeper
