// The `memory:` engine: ordered maps behind the same contract. For tests, the simulator, and brokers whose messages may die with them.
#pragma once

#include <memory>

#include "broker/storage/store.hpp"

namespace millrace::storage {

/// Keeps everything on the heap until it is destroyed; commits finish before commit() returns. Thread-safe as the contract asks.
std::unique_ptr<store> make_memory_store();

}  // namespace millrace::storage
