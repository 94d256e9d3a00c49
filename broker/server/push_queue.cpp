#include "broker/server/push_queue.hpp"

#include <memory>
#include <utility>

namespace millrace::server {
namespace {

constexpr std::size_t freely_held = 8u << 20;  // of entries, before anything is copied
constexpr std::size_t spread = 4;              // an entry that is larger by more is not kept for a slice of it

bool is_sparse(const driver::record_run& run) { return run.owner->capacity() / spread > run.records.size(); }

void keep_copy(driver::record_run& run) {
    auto copy = std::make_shared<const std::vector<std::byte>>(run.records.begin(), run.records.end());
    run.records = *copy;
    run.owner = std::move(copy);
}

/// Neighbours in one entry hold it together.
std::size_t held_by(const driver::record_run& run, const driver::record_run* neighbour) {
    return neighbour && neighbour->owner == run.owner ? 0 : run.owner->capacity();
}

}  // namespace

void push_queue::add(driver::push p) {
    if (held_bytes_ > freely_held && is_sparse(p.run)) keep_copy(p.run);
    bytes_ += p.run.records.size();
    held_bytes_ += held_by(p.run, waiting_.empty() ? nullptr : &waiting_.back().run);
    waiting_.push_back(std::move(p));
}

driver::record_run push_queue::take_front() {
    auto run = std::move(waiting_.front().run);
    waiting_.pop_front();
    bytes_ -= run.records.size();
    held_bytes_ -= held_by(run, waiting_.empty() ? nullptr : &waiting_.front().run);
    return run;
}

push_queue::frame push_queue::take(std::size_t bytes_max) {
    frame f;
    f.consumer = waiting_.front().consumer;
    while (!waiting_.empty() && waiting_.front().consumer == f.consumer) {
        const auto size = waiting_.front().run.records.size();
        if (!f.runs.empty() && f.bytes + size > bytes_max) break;
        f.bytes += size;
        f.runs.push_back(take_front());
    }
    return f;
}

void push_queue::drop(core::consumer_id consumer) {
    auto all = std::exchange(waiting_, {});
    clear();
    for (auto& p : all)
        if (p.consumer != consumer) add(std::move(p));
}

void push_queue::clear() {
    waiting_.clear();
    bytes_ = held_bytes_ = 0;
}

}  // namespace millrace::server
