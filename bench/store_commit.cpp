// How fast the rocksdb: engine commits, without a broker around it: groups of entries through the store contract, two under way,
// beside the disk's own probe before and after.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <random>

#include "bench/disk_probe.hpp"
#include "broker/storage/rocksdb_store.hpp"

namespace {

using namespace millrace;
using steady = std::chrono::steady_clock;

struct settings {
    std::string directory;
    std::size_t group_entries = 16;
    std::size_t entry_bytes = 64u << 10;
    std::size_t in_flight = 2;
    double seconds = 10;
    std::uint64_t keep_entries = 0;  // 0: retain all; else entries are freed when this many newer ones are there
    std::size_t memtable_mib = 32;
};

struct outcome {
    std::uint64_t entries = 0;
    double seconds = 0;
    std::vector<double> latency_ms;
};

/// At most `in_flight` groups; waits in acquire().
class slots {
public:
    explicit slots(std::size_t free) : free_(free), all_(free) {}

    void acquire() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return free_ > 0; });
        --free_;
    }
    void release() {
        std::lock_guard lock(mutex_);
        ++free_;
        changed_.notify_all();
    }
    void wait_for_all() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return free_ == all_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t free_;
    const std::size_t all_;
};

/// A ring of different incompressible entries: making new ones for every group would measure the generator.
std::vector<core::entry_bytes> some_entries(std::size_t count, std::size_t size) {
    std::mt19937_64 random(7);
    std::vector<core::entry_bytes> entries;
    for (std::size_t i = 0; i < count; ++i) {
        std::vector<std::byte> bytes(size);
        std::generate(bytes.begin(), bytes.end(), [&random] { return static_cast<std::byte>(random()); });
        entries.push_back(std::make_shared<const std::vector<std::byte>>(std::move(bytes)));
    }
    return entries;
}

outcome run(storage::store& store, core::fencing_epoch epoch, const settings& chosen) {
    const auto entries = some_entries(64, chosen.entry_bytes);
    const core::partition_id partition{core::topic_id{1}, 0};
    slots under_way(chosen.in_flight);
    std::mutex mutex;
    outcome measured;
    std::uint64_t next = 0;
    std::uint64_t freed = 0;
    const auto begin = steady::now();
    const auto end = begin + std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(chosen.seconds));
    while (steady::now() < end) {
        under_way.acquire();
        std::vector<core::mutation> group;
        group.reserve(chosen.group_entries * 2);
        for (std::size_t i = 0; i < chosen.group_entries; ++i, ++next) {
            group.emplace_back(core::append_entry{partition, {next}, {next}, entries[next % entries.size()]});
        }
        for (; chosen.keep_entries > 0 && freed + chosen.keep_entries + chosen.group_entries < next; ++freed) {
            group.emplace_back(core::free_entry{partition, {freed}});
        }
        const auto submitted = steady::now();
        store.commit(core::shard_id{0}, epoch, std::move(group), [&, submitted](const error& refused) {
            if (refused) {
                std::fprintf(stderr, "%s\n", to_string(refused).c_str());
                std::exit(1);
            }
            {
                std::lock_guard lock(mutex);
                measured.latency_ms.push_back(std::chrono::duration<double, std::milli>(steady::now() - submitted).count());
            }
            under_way.release();
        });
    }
    under_way.wait_for_all();
    measured.entries = next;
    measured.seconds = std::chrono::duration<double>(steady::now() - begin).count();
    return measured;
}

double at(std::vector<double>& sorted, double share) {
    return sorted[static_cast<std::size_t>(static_cast<double>(sorted.size() - 1) * share)];
}

void print(const char* when, const bench::disk_speed& disk) {
    std::printf("disk %-6s %7.1f MB/s in 256 KiB appends with fdatasync; 4 KiB: p50 %.3f ms, p99 %.3f ms\n", when, disk.bytes_per_second / 1e6,
                static_cast<double>(disk.small_sync_p50.count()) / 1e6, static_cast<double>(disk.small_sync_p99.count()) / 1e6);
}

bench::disk_speed probe_or_exit(const std::string& directory) {
    bench::disk_probe probe(directory);
    if (const auto failed = probe.measure(std::chrono::seconds(3))) {
        std::fprintf(stderr, "%s\n", to_string(failed).c_str());
        std::exit(1);
    }
    return probe.speed();
}

int measure(const settings& chosen) {
    storage::rocksdb_options options;
    options.directory = std::filesystem::path(chosen.directory) / "store";
    options.memtable_bytes = chosen.memtable_mib << 20;
    const auto before = probe_or_exit(chosen.directory);
    print("before", before);
    auto opened = storage::open_rocksdb_store(options);
    if (!opened) {
        std::fprintf(stderr, "%s\n", to_string(opened.failure()).c_str());
        return 1;
    }
    const auto epoch = opened.value()->open(core::shard_id{0});
    if (!epoch) {
        std::fprintf(stderr, "%s\n", to_string(epoch.failure()).c_str());
        return 1;
    }
    auto measured = run(*opened.value(), epoch.value(), chosen);
    opened.value().reset();
    const auto after = probe_or_exit(chosen.directory);
    print("after", after);

    std::sort(measured.latency_ms.begin(), measured.latency_ms.end());
    const double speed = static_cast<double>(measured.entries * chosen.entry_bytes) / measured.seconds;
    const double disk = (before.bytes_per_second + after.bytes_per_second) / 2;
    std::printf("store       %7.1f MB/s (%.0f %% of the disk), %.0f groups/s of %zu x %zu B; answer p50 %.3f ms, p99 %.3f ms, max %.1f ms\n", speed / 1e6,
                100 * speed / disk, static_cast<double>(measured.latency_ms.size()) / measured.seconds, chosen.group_entries, chosen.entry_bytes,
                at(measured.latency_ms, 0.5), at(measured.latency_ms, 0.99), measured.latency_ms.back());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    settings chosen;
    CLI::App app{"Commits groups of entries to a rocksdb: store and prints the speed beside the disk's own"};
    app.add_option("--directory", chosen.directory, "an existing directory; the store is made in it and stays")->required();
    app.add_option("--group-entries", chosen.group_entries, "entries in a group");
    app.add_option("--entry-bytes", chosen.entry_bytes, "bytes of an entry");
    app.add_option("--in-flight", chosen.in_flight, "groups under way");
    app.add_option("--seconds", chosen.seconds, "how long to commit");
    app.add_option("--keep-entries", chosen.keep_entries, "free entries when this many newer ones are there; 0 retains all");
    app.add_option("--memtable-mib", chosen.memtable_mib, "size of a memtable");
    CLI11_PARSE(app, argc, argv);
    return measure(chosen);
}
