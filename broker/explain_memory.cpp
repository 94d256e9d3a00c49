#include "broker/explain_memory.hpp"

#include <cstdio>

namespace millrace {
namespace {

constexpr std::uint64_t mebibyte = 1u << 20;
constexpr std::uint64_t idle_session_bytes = 9u << 10;  // measured: tests/process/thousand_test.cpp

std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + mebibyte - 1) / mebibyte); }

std::string line(const std::string& what, std::uint64_t bytes, const std::string& why) {
    char text[160];
    std::snprintf(text, sizeof text, "%-22s %5s MiB  %s\n", what.c_str(), mebibytes(bytes).c_str(), why.c_str());
    return text;
}

}  // namespace

std::string explain_memory(const storage::rocksdb_options& store, const server::broker_settings& broker) {
    const auto kept = storage::memory_of(store);
    std::string out;
    std::uint64_t sum = 0;
    const auto add = [&](const std::string& what, std::uint64_t bytes, const std::string& why) {
        out += line(what, bytes, why);
        sum += bytes;
    };
    add("memtables of entries", kept.entry_memtables * kept.entry_memtable_bytes,
        std::to_string(kept.entry_memtables) + " of " + mebibytes(kept.entry_memtable_bytes) + " MiB: what was published last, until it is in files");
    add("memtables of rows", kept.other_memtable_bytes, "progress, catalog, epochs");
    add("log", kept.log_buffer_bytes, "what is gathered for it while the disk writes");
    add("block cache", store.block_cache_bytes, "rows and references read from files");
    add("tail cache", broker.driver.tail_cache_bytes, "the newest entries, which readers that keep up live on");
    add("read cache", broker.driver.read_cache_bytes, "entries read for those that catch up");
    add("reads under way", broker.driver.reads_in_flight * limits::batch_bytes, std::to_string(broker.driver.reads_in_flight) + " at a time, each of an entry");
    add("core", broker.core.window_messages * sizeof(std::uint32_t), std::to_string(broker.core.window_messages) + " messages near readers and the tail, 4 bytes each");
    add("sessions", broker.sessions_max * idle_session_bytes, std::to_string(broker.sessions_max) + " connections (--max-connections), 9 KiB each when idle");
    out += line("together", sum, "at most; the backlog costs nothing");
    return out + line("log, on disk", kept.log_bytes, "replayed at start");
}

}  // namespace millrace
