// How many shards a broker inside a test has: as many as MILLRACE_SHARDS says, as a broker process does.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

namespace millrace {

inline std::uint32_t shards_by_environment() {
    const char* said = std::getenv("MILLRACE_SHARDS");
    return said ? static_cast<std::uint32_t>(std::stoul(said)) : 1;
}

}  // namespace millrace
