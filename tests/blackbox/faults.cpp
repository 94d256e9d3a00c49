#include "tests/blackbox/faults.hpp"

#include <algorithm>
#include <numeric>
#include <regex>
#include <stdexcept>

namespace millrace::blackbox {
namespace {

constexpr milliseconds pause_least{300}, pause_most{4'000};  // between two that begin
constexpr milliseconds turn{10};

std::string place_of(const fault_kind& kind, host_number host) {
    switch (kind.where) {
        case fault_kind::place::broker: return "broker";
        case fault_kind::place::host: return "host " + std::to_string(host);
        case fault_kind::place::wire: break;
    }
    return "wire of host " + std::to_string(host);
}

}  // namespace

faults::faults(world& among, std::uint64_t seed, const std::string& only) : world_(among), random_(seed), kinds_(fault_kinds()) {
    const std::regex wanted(only);
    std::erase_if(kinds_, [&](const fault_kind& k) { return !std::regex_search(k.name, wanted); });
    if (kinds_.empty()) throw std::runtime_error("no fault has '" + only + "' in its name");
}

void faults::run(milliseconds how_long) {
    const auto over = history::clock::now() + how_long;
    auto next = history::clock::now();
    while (history::clock::now() < over && !world_.told().convicted()) {
        const auto now = history::clock::now();
        end_due(now);
        watch_recovery();
        watch_broker();
        if (now >= next) {
            next = now + milliseconds(random_.between(pause_least.count(), pause_most.count()));
            begin_one();
        }
        std::this_thread::sleep_for(turn);
    }
    end_due(moment::max());
    const auto patience = history::clock::now() + 30s;
    while (!recovering_.empty() && history::clock::now() < patience) {
        watch_recovery();
        std::this_thread::sleep_for(turn);
    }
}

const fault_kind& faults::draw_kind() {
    const auto all = std::accumulate(kinds_.begin(), kinds_.end(), 0u, [](unsigned sum, const fault_kind& k) { return sum + k.weight; });
    auto drawn = random_.below(all);
    for (const auto& k : kinds_) {
        if (drawn < k.weight) return k;
        drawn -= k.weight;
    }
    return kinds_.back();
}

void faults::begin_one() {
    const auto& kind = draw_kind();
    const auto host = random_.below(world::client_hosts);
    const auto length = random_.between(kind.shortest, kind.longest);
    const auto number = kind.where == fault_kind::place::broker ? 0 : world_.client_host(host).number();
    const auto where = place_of(kind, number);
    const auto is_taken = std::any_of(active_.begin(), active_.end(), [&](const active& a) { return a.where == where; });
    if (is_taken || !kind.is_possible(world_) || (number != 0 && is_last_left(number))) return;
    world_.told().note_fault(std::string(kind.name) + ": " + where + ", for " + std::to_string(length.count() / 1000) + " ms");
    marks_.push_back({kind.name, where, world_.told().age(), {}, {}});
    active_.push_back({marks_.size() - 1, where, number, {}, kind.begin({world_, host, random_})});
    active_.back().until = history::clock::now() + length;
}

/// One client host is always left alone, so that a silence is the broker's. One whose fault is over may wait half a minute for what was lost on its way.
bool faults::is_last_left(host_number one) const {
    std::set<host_number> struck{0, one};
    for (const auto& a : active_) struck.insert(a.whose);
    for (const auto& [host, since] : not_back_) struck.insert(host);
    return struck.size() > world::client_hosts;
}

void faults::end_due(moment now) {
    for (auto it = active_.begin(); it != active_.end();) {
        if (it->until > now) {
            ++it;
            continue;
        }
        end(*it);
        it = active_.erase(it);
    }
}

void faults::end(active& a) {
    marks_[a.mark].ended = world_.told().age();
    recovering_.push_back({a.mark, a.whose, history::clock::now()});
    if (a.whose != 0) not_back_[a.whose] = history::clock::now();
    a.end();
    world_.told().note_fault("over: " + marks_[a.mark].kind + ": " + a.where);
}

/// Who is struck again before has not recovered from the one fault alone.
bool faults::is_struck_again(const recovering& r) const {
    return std::any_of(active_.begin(), active_.end(), [&](const active& a) { return a.whose == 0 || a.whose == r.whose; });
}

void faults::watch_recovery() {
    std::erase_if(not_back_, [&](const auto& h) { return world_.told().answered_at(h.first) > h.second; });
    std::erase_if(recovering_, [&](const recovering& r) { return is_struck_again(r); });
    std::erase_if(recovering_, [&](const recovering& r) {
        const auto answered = world_.told().answered_at(r.whose);
        if (answered <= r.since) return false;
        marks_[r.mark].recovery = std::chrono::duration_cast<milliseconds>(answered - r.since);
        return true;
    });
}

/// Whoever ends it says so: nothing else may.
void faults::watch_broker() {
    if (const auto code = world_.broker().ended_unasked()) world_.told().violate("the broker ended by itself with " + std::to_string(*code));
}

}  // namespace millrace::blackbox
