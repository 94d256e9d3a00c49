// Order, overlap, fencing and failure of the commit loop, on a log that does what the test says.
#include "broker/storage/commit_loop.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <future>
#include <memory>

#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

constexpr core::fencing_epoch epoch{1};
constexpr std::size_t large = 100u << 10;  // more than runs inline

/// Remembers what was written and synced; can hold either back, or fail it once.
class scripted_log final : public durable_log {
public:
    error write(std::span<const pending_commit> groups) override {
        std::unique_lock lock(mutex_);
        ++writes_begun_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !hold_writes_; });
        for (const auto& commit : groups) {
            written_ += commit.verdict ? 0 : 1;
        }
        ++writes_;
        changed_.notify_all();
        return std::exchange(write_failure_, {});
    }

    error sync() override {
        std::unique_lock lock(mutex_);
        ++syncs_begun_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !hold_syncs_; });
        ++syncs_;
        changed_.notify_all();
        return std::exchange(sync_failure_, {});
    }

    void hold_syncs(bool hold) { change(hold_syncs_, hold); }
    void hold_writes(bool hold) { change(hold_writes_, hold); }
    void fail_next_sync(errc code = errc::sync_failed) { change(sync_failure_, error{code, "sync"}); }
    void fail_next_write() { change(write_failure_, error{errc::disk_full, "write"}); }

    void wait_for_written(int groups) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return written_ >= groups; });
    }
    void wait_for_sync_begun(int count) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return syncs_begun_ >= count; });
    }
    void wait_for_write_begun(int count) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return writes_begun_ >= count; });
    }
    void wait_for_synced(int count) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return syncs_ >= count; });
    }
    int syncs() {
        std::lock_guard lock(mutex_);
        return syncs_;
    }
    int writes() {
        std::lock_guard lock(mutex_);
        return writes_;
    }
    int written() {
        std::lock_guard lock(mutex_);
        return written_;
    }

private:
    template <class Value>
    void change(Value& what, Value to) {
        std::lock_guard lock(mutex_);
        what = std::move(to);
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool hold_syncs_ = false;
    bool hold_writes_ = false;
    error write_failure_;
    error sync_failure_;
    int written_ = 0;
    int writes_ = 0;
    int writes_begun_ = 0;
    int syncs_begun_ = 0;
    int syncs_ = 0;
};

/// The answers in their order.
class answers {
public:
    store::commit_done expect(int number) {
        return [this, number](const error& outcome) {
            std::lock_guard lock(mutex_);
            order_.push_back(number);
            codes_.push_back(outcome.code);
            threads_.push_back(std::this_thread::get_id());
        };
    }
    std::vector<int> order() {
        std::lock_guard lock(mutex_);
        return order_;
    }
    std::vector<errc> codes() {
        std::lock_guard lock(mutex_);
        return codes_;
    }
    std::vector<std::thread::id> threads() {
        std::lock_guard lock(mutex_);
        return threads_;
    }

private:
    std::mutex mutex_;
    std::vector<int> order_;
    std::vector<errc> codes_;
    std::vector<std::thread::id> threads_;
};

std::vector<core::mutation> group_of(std::size_t bytes) {
    std::vector<core::mutation> group;
    group.emplace_back(core::put_row{"k", std::string(bytes, 'x')});
    return group;
}

struct fixture {
    scripted_log log;
    answers answered;
    std::unique_ptr<commit_loop> loop;

    explicit fixture(bool synced = true) : loop(std::make_unique<commit_loop>(log, synced)) {
        loop->admit(first_shard, epoch);
        loop->admit(second_shard, epoch);
    }
    void submit(int number, std::size_t bytes, core::shard_id shard = first_shard, core::fencing_epoch under = epoch) {
        loop->submit(shard, under, group_of(bytes), answered.expect(number));
    }
};

using codes = std::vector<errc>;

}  // namespace

TEST_CASE("commit loop: a lone small group is written, synced and answered on the calling thread") {
    fixture f;
    f.submit(1, 100);
    CHECK(f.answered.codes() == codes{errc::ok});
    CHECK(f.answered.threads().at(0) == std::this_thread::get_id());
    CHECK(f.log.written() == 1);
    CHECK(f.log.syncs() == 1);
}

TEST_CASE("commit loop: while a group is committed on one thread nothing is on another, and nothing is drained") {
    fixture f;
    f.log.hold_syncs(true);
    std::thread alone([&] { f.submit(1, 100); });
    f.log.wait_for_sync_begun(1);
    f.submit(2, 100, second_shard);  // returns: it would wait for the sync here
    std::promise<std::vector<int>> drained;
    std::thread draining([&] {
        f.loop->drain();
        drained.set_value(f.answered.order());
    });
    f.log.wait_for_written(2);
    f.log.hold_syncs(false);
    const auto answered = drained.get_future().get();
    alone.join();
    draining.join();
    CHECK(answered.size() == 2);
    const auto threads = f.answered.threads();
    CHECK(std::count(threads.begin(), threads.end(), std::this_thread::get_id()) == 0);
}

TEST_CASE("commit loop: a large group leaves the calling thread free") {
    fixture f;
    f.log.hold_syncs(true);
    f.submit(1, large);
    CHECK(f.answered.order().empty());
    f.log.hold_syncs(false);
    f.loop->drain();
    CHECK(f.answered.codes() == codes{errc::ok});
    CHECK(f.answered.threads().at(0) != std::this_thread::get_id());
}

TEST_CASE("commit loop: small groups leave the calling thread free once syncs are slow") {
    scripted_log log;
    commit_loop loop(log, true, {.inline_bytes = 1000, .inline_sync_time = std::chrono::microseconds(0), .write_bytes = 1000});
    loop.admit(first_shard, epoch);
    answers answered;
    loop.submit(first_shard, epoch, group_of(10), answered.expect(1));
    loop.drain();
    CHECK(answered.threads().at(0) != std::this_thread::get_id());
}

TEST_CASE("commit loop: the next group is written while the last is synced, and one sync covers all that wait") {
    fixture f;
    f.log.hold_syncs(true);
    f.submit(1, large);
    f.log.wait_for_sync_begun(1);
    f.submit(2, large);
    f.submit(3, 10, second_shard);
    f.submit(4, large);
    f.log.wait_for_written(4);
    CHECK(f.answered.order().empty());
    f.log.hold_syncs(false);
    f.loop->drain();
    CHECK(f.answered.order() == std::vector<int>{1, 2, 3, 4});
    CHECK(f.log.syncs() <= 3);  // the first, and one or two for those written during it
}

TEST_CASE("commit loop: groups that wait share a write") {
    fixture f;
    f.log.hold_writes(true);
    f.submit(1, large);
    for (int i = 2; i <= 101; ++i) {
        f.submit(i, 10);
    }
    f.log.hold_writes(false);
    f.loop->drain();
    CHECK(f.log.written() == 101);
    CHECK(f.log.writes() <= 3);
    CHECK(f.answered.order().size() == 101);
}

TEST_CASE("commit loop: groups share a write up to its bound, a larger one than that has a write of its own") {
    scripted_log log;
    commit_loop loop(log, true, {.inline_bytes = 0, .inline_sync_time = std::chrono::microseconds(0), .write_bytes = 1000});
    loop.admit(first_shard, epoch);
    answers answered;
    log.hold_writes(true);
    const auto submit = [&](int number, std::size_t bytes) { loop.submit(first_shard, epoch, group_of(bytes), answered.expect(number)); };
    submit(1, 100);
    log.wait_for_write_begun(1);
    // Each has a key of one byte besides.
    const auto [sizes, writes] = GENERATE(table<std::vector<std::size_t>, int>({{{600, 398}, 1}, {{600, 399}, 2}, {{300, 1200, 300}, 3}}));
    for (const auto size : sizes) submit(2, size);
    log.hold_writes(false);
    loop.drain();
    CHECK(log.writes() == 1 + writes);
}

TEST_CASE("commit loop: a failed sync is told apart, to its groups, those written meanwhile and all that follow, on every shard") {
    fixture f;
    f.log.hold_syncs(true);
    f.submit(1, large);
    f.log.wait_for_sync_begun(1);
    f.submit(2, large);
    f.log.wait_for_written(2);
    f.log.fail_next_sync();
    f.log.hold_syncs(false);
    f.loop->drain();
    f.submit(3, 10);
    f.submit(4, large, second_shard);
    f.loop->drain();
    CHECK(f.answered.order() == std::vector<int>{1, 2, 3, 4});
    CHECK(f.answered.codes() == codes(4, errc::sync_failed));
    CHECK(f.log.written() == 2);
    CHECK(f.log.syncs() == 1);
}

TEST_CASE("commit loop: a failed write leaves what waits behind it unwritten") {
    fixture f;
    f.log.hold_writes(true);
    f.submit(1, large);
    f.submit(2, 2u << 20);
    f.log.fail_next_write();
    f.log.hold_writes(false);
    f.loop->drain();
    CHECK(f.answered.codes() == codes(2, errc::outcome_unknown));
    CHECK(f.log.writes() == 1);
    CHECK(f.log.syncs() == 0);
}

TEST_CASE("commit loop: a sync that fails because the write beside it did is a failed write, one that the disk refused is none, whatever the write says") {
    const auto code = GENERATE(errc::storage_failure, errc::sync_failed);
    fixture f;
    f.log.hold_syncs(true);
    f.submit(1, large);
    f.log.wait_for_sync_begun(1);
    f.log.hold_writes(true);
    f.submit(2, large);
    f.log.wait_for_write_begun(2);
    f.log.fail_next_write();
    f.log.fail_next_sync(code);
    f.log.hold_syncs(false);
    f.log.wait_for_synced(1);
    f.log.hold_writes(false);
    f.loop->drain();
    const auto first = code == errc::sync_failed ? errc::sync_failed : errc::outcome_unknown;
    CHECK(f.answered.codes() == std::vector<errc>{first, errc::outcome_unknown});
}

TEST_CASE("commit loop: what cannot be written when it is to be synced is a failed write") {
    const auto bytes = GENERATE(std::size_t{10}, large);
    fixture f;
    f.log.fail_next_sync(errc::disk_full);
    f.submit(1, bytes);
    f.submit(2, bytes);
    f.loop->drain();
    CHECK(f.answered.codes() == codes(2, errc::outcome_unknown));
}

TEST_CASE("commit loop: an inline commit that fails says as well what failed") {
    fixture f;
    f.log.fail_next_sync();
    f.submit(1, 10);
    f.submit(2, 10);
    f.loop->drain();
    CHECK(f.answered.codes() == codes(2, errc::sync_failed));
    CHECK(f.log.written() == 1);
}

TEST_CASE("commit loop: a shard that is admitted again commits, the others stay refused") {
    fixture f;
    const auto before = f.loop->generation();
    f.log.fail_next_write();
    f.submit(1, 10);
    CHECK(f.loop->generation() != before);
    const core::fencing_epoch larger{2};
    f.loop->admit(first_shard, larger);
    f.submit(2, 10, first_shard, larger);
    f.submit(3, 10, second_shard);
    f.submit(4, 10, first_shard, epoch);
    CHECK(f.answered.codes() == codes{errc::outcome_unknown, errc::ok, errc::outcome_unknown, errc::fenced});
}

TEST_CASE("commit loop: a fenced group is answered in its turn") {
    fixture f;
    f.log.hold_syncs(true);
    f.submit(1, large);
    f.submit(2, 10, first_shard, core::fencing_epoch{9});
    f.submit(3, large);
    CHECK(f.answered.order().empty());
    f.log.hold_syncs(false);
    f.loop->drain();
    CHECK(f.answered.order() == std::vector<int>{1, 2, 3});
    CHECK(f.answered.codes() == codes{errc::ok, errc::fenced, errc::ok});
    CHECK(f.log.written() == 2);
}

TEST_CASE("commit loop: a group submitted from within a done is answered after that done has returned") {
    fixture f;
    bool returned = false;
    std::promise<bool> second;
    f.loop->submit(first_shard, epoch, group_of(10), [&](const error&) {
        f.loop->submit(first_shard, epoch, group_of(10), [&](const error&) { second.set_value(returned); });
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        returned = true;
    });
    CHECK(second.get_future().get());
}

TEST_CASE("commit loop: without syncs it writes and answers") {
    fixture f(false);
    f.submit(1, 10);
    f.submit(2, large);
    f.loop->drain();
    CHECK(f.answered.codes() == codes(2, errc::ok));
    CHECK(f.log.syncs() == 0);
}

TEST_CASE("commit loop: its end finishes what is under way") {
    fixture f;
    f.log.hold_syncs(true);
    for (int i = 0; i < 20; ++i) {
        f.submit(i, large);
    }
    std::thread ending([&] { f.loop.reset(); });
    f.log.hold_syncs(false);
    ending.join();
    CHECK(f.answered.codes() == codes(20, errc::ok));
    CHECK(f.log.written() == 20);
}

}  // namespace millrace::storage
