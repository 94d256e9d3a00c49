#include "broker/broker_view.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace millrace {
namespace {

std::uint64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::chrono::microseconds processor_time() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto length = [](const timeval& t) { return std::chrono::seconds{t.tv_sec} + std::chrono::microseconds{t.tv_usec}; };
    return length(used.ru_utime) + length(used.ru_stime);
}

}  // namespace

broker_view::broker_view(const server::broker& broker, surroundings around, server::broker::clock now)
    : broker_(broker), around_(std::move(around)), now_(std::move(now)), started_at_(now_()) {}

admin::broker_state broker_view::state() const {
    admin::broker_state s;
    s.version = around_.version;
    s.store = around_.store;
    s.level = broker_.level();
    s.epoch = broker_.epoch();
    s.shards = broker_.shards();
    s.started_at = started_at_;
    s.now = now_();
    s.not_ready = broker_.not_ready();
    s.sessions = broker_.sessions();
    s.reopened = broker_.reopened();
    broker_.see_all([&](const server::loop& l) {
        s.sessions_opened += l.sessions_opened();
        for (const auto& [why, count] : l.sessions_closed()) s.sessions_closed[why] += count;
        s.counted += l.counted();
    });
    if (const auto disk = broker_.space().disk) {
        s.disk_free_bytes = disk->free;
        s.disk_reserve_bytes = disk->reserve;
    }
    s.resident_bytes = resident_bytes();
    s.processor_time = processor_time();
    return s;
}

std::vector<admin::session_state> broker_view::sessions(std::uint64_t after, std::size_t limit) const {
    std::vector<admin::session_state> found;
    broker_.see_all([&](const server::loop& l) {
        for (const auto* c : l.connections_after(after, limit))
            found.push_back({static_cast<std::uint64_t>(c->session().id()), c->session().client_name(), c->peer(), c->opened_at()});
    });
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    found.resize(std::min(limit, found.size()));
    return found;
}

bool broker_view::see(std::uint32_t shard, const std::function<void(const core::shard&)>& look) const {
    auto seen = false;
    broker_.see(shard, [&](const server::loop& l) {
        seen = l.driver() != nullptr;
        if (seen) look(l.driver()->shard());
    });
    return seen;
}

}  // namespace millrace
