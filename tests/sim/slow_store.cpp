#include "tests/sim/slow_store.hpp"

#include <algorithm>

#include "broker/storage/memory_store.hpp"

namespace millrace::sim {
namespace {

constexpr core::shard_id the_shard{0};
using namespace std::chrono_literals;

}  // namespace

slow_store::slow_store(event_queue& events, random_source& random, const store_manners& manners)
    : events_(events), random_(random), manners_(manners), engine_(storage::make_memory_store()) {}

core::fencing_epoch slow_store::open() {
    failed_ = false;
    return engine_->open(the_shard).value();
}

void slow_store::commit(core::fencing_epoch epoch, core::group group, std::function<void(core::group_number, error)> done) {
    pending_.push_back({epoch, std::move(group), std::move(done)});
    last_applied_ = std::max(last_applied_, events_.now()) + random_.between(manners_.commit_min, manners_.commit_max) / 2;
    events_.at(last_applied_, [this, life = life_] {
        if (life == life_) apply_next();
    });
}

void slow_store::apply_next() {
    auto next = std::move(pending_.front());
    pending_.pop_front();
    error failed;
    const auto fails_now = !failed_ && random_.below(100'000) < manners_.failed_commit_in_100000;
    const auto applied = fails_now ? random_.chance(500) : !failed_;  // and nothing after the one that failed
    failed_ |= fails_now;
    if (applied) engine_->commit(the_shard, next.epoch, std::move(next.group.mutations), [&](error e) { failed = std::move(e); });
    if (failed) throw violation("the store refused a group: " + to_string(failed));
    if (failed_) failed = {errc::outcome_unknown, "a commit failed half way"};
    last_told_ = std::max(last_told_, events_.now()) + random_.between(manners_.commit_min, manners_.commit_max) / 2;
    events_.at(last_told_, [this, life = life_, number = next.group.number, failed, done = std::move(next.done)] {
        if (life == life_) done(number, failed);
    });
}

void slow_store::read(const driver::read_request& request, std::function<void(result<std::vector<storage::stored_entry>>)> done) {
    events_.after(random_.between(0us, manners_.read_max), [this, life = life_, request, done = std::move(done)]() mutable {
        if (life != life_) return;
        auto found = std::make_shared<result<std::vector<storage::stored_entry>>>(engine_->read(request.partition, request.from, request.bytes));
        events_.after(random_.between(0us, manners_.read_max), [this, life, found, done = std::move(done)] {
            if (life == life_) done(std::move(*found));
        });
    });
}

void slow_store::scan(const driver::scan_request& request, std::function<void(result<std::vector<core::row>>)> done) {
    events_.after(random_.between(0us, manners_.read_max), [this, life = life_, request, done = std::move(done)]() mutable {
        if (life != life_) return;
        auto found = std::make_shared<result<std::vector<core::row>>>(engine_->scan(request.range, request.limit));
        events_.after(random_.between(0us, manners_.read_max), [this, life, found, done = std::move(done)] {
            if (life == life_) done(std::move(*found));
        });
    });
}

void slow_store::crash() {
    ++life_;
    for (auto kept = failed_ ? 0 : random_.below(pending_.size() + 1); kept > 0; --kept) {
        auto& next = pending_.front();
        error failed;
        engine_->commit(the_shard, next.epoch, std::move(next.group.mutations), [&](error e) { failed = std::move(e); });
        if (failed) throw violation("the store refused a group: " + to_string(failed));
        pending_.pop_front();
    }
    pending_.clear();
}

}  // namespace millrace::sim
