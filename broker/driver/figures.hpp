// What a driver counts for those who look on: once for each group, push and refusal, never for each message.
#pragma once

#include <cstdint>
#include <map>

#include "broker/driver/histogram.hpp"
#include "millrace/error.hpp"

namespace millrace::driver {

/// Everything only grows.
struct figures {
    std::uint64_t published_messages = 0;  // durable, the dead that arrived in another topic among them
    std::uint64_t published_bytes = 0;     // of their records
    std::uint64_t delivered_messages = 0;
    std::uint64_t delivered_bytes = 0;
    std::uint64_t acked_messages = 0;
    std::map<errc, std::uint64_t> refused;  // requests that were answered with an error
    std::uint64_t failed_commits = 0;
    std::uint64_t damaged_messages = 0;  // that were found damaged in the store, and passed over
    std::uint64_t scrubbed_bytes = 0, scrub_passes = 0;

    // Of groups that became durable.
    histogram commit_microseconds{250, 500, 1'000, 2'000, 4'000, 8'000, 16'000, 32'000, 64'000, 128'000, 256'000, 512'000, 1'000'000, 4'000'000};
    histogram commit_messages{0, 1, 4, 16, 64, 256, 1'024, 4'096, 16'384};
    histogram commit_bytes{0, 1u << 10, 4u << 10, 16u << 10, 64u << 10, 256u << 10, 1u << 20, 4u << 20, 16u << 20};  // of records

    figures& operator+=(const figures& more) {
        published_messages += more.published_messages;
        published_bytes += more.published_bytes;
        delivered_messages += more.delivered_messages;
        delivered_bytes += more.delivered_bytes;
        acked_messages += more.acked_messages;
        for (const auto& [code, count] : more.refused) refused[code] += count;
        failed_commits += more.failed_commits;
        damaged_messages += more.damaged_messages;
        scrubbed_bytes += more.scrubbed_bytes;
        scrub_passes += more.scrub_passes;
        commit_microseconds += more.commit_microseconds;
        commit_messages += more.commit_messages;
        commit_bytes += more.commit_bytes;
        return *this;
    }
};

}  // namespace millrace::driver
