#include "tests/sim/slow_store.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace std::chrono_literals;

slow_store::opened slow_store::open(std::uint32_t shards) {
    failed_ = false;
    while (true) {
        auto epochs = machine_.open(shards);
        auto rows = machine_.engine().scan(core::start_rows(), ~std::size_t{0});
        if (rows) return {std::move(epochs), std::move(rows.value())};
        if (machine_.has_power()) throw violation("the store does not give what a broker starts from: " + to_string(rows.failure()));
    }
}

void slow_store::commit(core::shard_id shard, core::fencing_epoch epoch, core::group group, std::function<void(core::group_number, error)> done) {
    pending_.push_back({shard, epoch, std::move(group), std::move(done)});
    last_applied_ = std::max(last_applied_, events_.now()) + random_.between(manners_.commit_min, manners_.commit_max) / 2;
    events_.at(last_applied_, [this, life = life_] {
        if (life == life_) apply_next();
    });
}

/// The next group, or all that wait at once: then later turns find nothing left to do.
void slow_store::apply_next() {
    if (pending_.empty()) return;
    const auto all = manners_.side_by_side_in_1000 > 0 && random_.chance(manners_.side_by_side_in_1000);
    std::vector<pending_group> now;
    for (auto n = all ? pending_.size() : 1; n > 0; --n) {
        now.push_back(std::move(pending_.front()));
        pending_.pop_front();
    }
    const auto fails_now = !failed_ && random_.below(100'000) < manners_.failed_commit_in_100000;
    const auto applied = fails_now ? random_.chance(500) : !failed_;  // and nothing after the one that failed
    failed_ |= fails_now;
    std::vector<error> outcomes(now.size());
    if (applied) {
        std::vector<machine::group> groups;
        for (auto& g : now) {
            take_room(g.group);
            groups.push_back({g.shard, g.epoch, std::move(g.group.mutations)});
        }
        outcomes = machine_.commit(std::move(groups));
    }
    if (lost_power()) return;
    for (std::size_t i = 0; i < now.size(); ++i) {
        auto& outcome = outcomes.at(i);
        if (outcome && outcome.code != errc::outcome_unknown && outcome.code != errc::sync_failed)
            throw violation("the store refused a group: " + to_string(outcome));
        failed_ = failed_ || outcome;
        if (failed_ && !outcome) outcome = {errc::outcome_unknown, "a commit failed half way"};
        tell(std::move(now[i]), std::move(outcome));
    }
}

void slow_store::take_room(const core::group& group) {
    if (!disk_) return;
    for (const auto& m : group.mutations)
        if (const auto* entry = std::get_if<core::append_entry>(&m)) disk_->free -= std::min<std::uint64_t>(disk_->free, entry->bytes->size());
}

void slow_store::tell(pending_group applied, error outcome) {
    last_told_ = std::max(last_told_, events_.now()) + random_.between(manners_.commit_min, manners_.commit_max) / 2;
    events_.at(last_told_, [this, life = life_, number = applied.group.number, outcome = std::move(outcome), done = std::move(applied.done)] {
        if (life == life_) done(number, outcome);
    });
}

void slow_store::read(const driver::read_request& request, std::function<void(result<std::vector<storage::stored_entry>>)> done) {
    look([this, request] { return machine_.engine().read(request.partition, request.from, request.bytes); }, std::move(done));
}

void slow_store::scan(const driver::scan_request& request, std::function<void(result<std::vector<core::row>>)> done) {
    look([this, request] { return machine_.engine().scan(request.range, request.limit); }, std::move(done));
}

/// What `find` sees at one moment is told at another.
template <class Find, class Done>
void slow_store::look(Find find, Done done) {
    events_.after(random_.between(0us, manners_.read_max), [this, life = life_, find = std::move(find), done = std::move(done)]() mutable {
        if (life != life_) return;
        auto found = std::make_shared<decltype(find())>(find());
        if (lost_power()) return;
        events_.after(random_.between(0us, manners_.read_max), [this, life, found, done = std::move(done)] {
            if (life == life_) done(std::move(*found));
        });
    });
}

bool slow_store::lost_power() {
    if (machine_.has_power()) return false;
    ++life_;  // nobody hears of what was under way
    events_.after(0us, power_went_);
    return true;
}

void slow_store::crash() {
    ++life_;
    std::vector<machine::group> under_way;
    if (!failed_)
        for (auto& g : pending_) under_way.push_back({g.shard, g.epoch, std::move(g.group.mutations)});
    pending_.clear();
    machine_.crash(std::move(under_way));
}

}  // namespace millrace::sim
