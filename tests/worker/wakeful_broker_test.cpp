// A broker that looks for the next message before it sleeps. Its clock stands still, and whoever looks at it is counted: a loop that is awake looks again and again.
#include <catch2/catch.hpp>

#include <atomic>

#include "millrace/blocking_client.hpp"
#include "tests/worker/in_process_broker.hpp"
#include "tests/worker/running_worker.hpp"

using namespace millrace;
using namespace millrace::client;

namespace {

/// The memory engine, which commits on the calling thread, with the promise of a disk.
class engine_of_a_disk final : public storage::store {
public:
    durability level() const override { return durability::disk; }
    result<core::fencing_epoch> open(core::shard_id shard) override { return memory_->open(shard); }
    void commit(core::shard_id shard, core::fencing_epoch epoch, std::vector<core::mutation> group, commit_done done) override {
        memory_->commit(shard, epoch, std::move(group), std::move(done));
    }
    result<std::vector<storage::stored_entry>> read(core::partition_id partition, sequence from, std::size_t max_bytes) override {
        return memory_->read(partition, from, max_bytes);
    }
    result<std::vector<core::row>> scan(const core::row_range& range, std::size_t limit) override { return memory_->scan(range, limit); }
    error checkpoint(const std::filesystem::path& dir) override { return memory_->checkpoint(dir); }
    std::optional<storage::disk_space> space() override { return memory_->space(); }

private:
    const std::unique_ptr<storage::store> memory_ = storage::make_memory_store();
};

class stopped_clock {
public:
    timestamp now() {
        ++looks_;
        return timestamp(std::chrono::microseconds(now_));
    }
    void pass(std::chrono::microseconds time) { now_ += time.count(); }

    /// Waits until somebody looks at it all the time, or nobody does: 5 s at most, for the client pings later. Whether that came.
    bool becomes_watched(bool watched) const {
        for (const auto until = std::chrono::steady_clock::now() + 5s; std::chrono::steady_clock::now() < until;) {
            const auto before = looks_.load();
            std::this_thread::sleep_for(20ms);
            if ((looks_ - before > 30) == watched) return true;
        }
        return false;
    }

private:
    std::atomic<std::int64_t> now_{1'000'000'000};
    std::atomic<std::uint64_t> looks_{0};
};

}  // namespace

TEST_CASE("a broker is awake behind messages that come one by one, until the moment has passed, and again") {
    stopped_clock clock;
    in_process_broker broker({.store = std::make_unique<engine_of_a_disk>(), .shards = 1, .stay_awake = 200us, .now = [&] { return clock.now(); }});
    blocking_client client(quick(broker.address()));
    client.create_topic("photos");
    client.publish("photos", {.payload = "came within the moment"});
    CHECK(clock.becomes_watched(true));
    clock.pass(201us);
    CHECK(clock.becomes_watched(false));
    client.publish("photos", {.payload = "did not"});
    CHECK(clock.becomes_watched(false));
    client.publish("photos", {.payload = "did"});
    CHECK(clock.becomes_watched(true));
}
