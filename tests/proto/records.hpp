// Records to publish, for tests that do not care what is in them.
#pragma once

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "proto/record.hpp"

namespace millrace::proto {

/// `count` of them, with the payloads "m0", "m1" … for "m".
inline std::vector<std::byte> numbered_records(std::uint32_t count, const std::string& payload) {
    record_encoder encoder;
    std::vector<std::byte> out;
    for (std::uint32_t i = 0; i < count; ++i) {
        message m;
        m.payload = payload + std::to_string(i);
        REQUIRE_FALSE(encoder.append(m, compression::none, out));
    }
    return out;
}

}  // namespace millrace::proto
