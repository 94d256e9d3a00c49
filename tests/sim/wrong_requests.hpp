// What a client may ask by mistake: each is refused with its own error, and costs nobody else anything.
#pragma once

#include "tests/sim/wire_client.hpp"

namespace millrace::sim {

/// Asks one of them, or for a list. The answer is held against what must be answered. REQUIRES by.is_welcome().
void ask_wrongly(surroundings& around, wire_client& by);

}  // namespace millrace::sim
