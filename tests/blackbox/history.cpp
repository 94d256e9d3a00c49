#include "tests/blackbox/history.hpp"

#include <algorithm>
#include <iostream>
#include <utility>

namespace millrace::blackbox {

void history::violate(const std::string& what) {
    const std::lock_guard lock(mutex_);
    note_violation(what);
}

void history::note_violation(const std::string& what) {
    violations_.push_back(what);
    if (violations_.size() <= 20) std::cout << "VIOLATION after " << age().count() << " ms: " << what << std::endl;
}

void history::print_life_of(const moment_of_life& one) const {
    if (violations_.size() > 20) return;
    const auto is_its = [&](const moment_of_life& m) {
        return m.who.subscription == one.who.subscription && m.message.partition == one.message.partition && m.message.first <= one.message.first &&
               one.message.first <= m.message.last;
    };
    for (const auto& m : lives_) {
        if (!is_its(m)) continue;
        const auto session = static_cast<std::uint64_t>(m.who.session);
        const auto found = open_.find(m.who.session);
        std::cout << "  " << m.when.count() << " ms: " << m.what << ", attempt " << m.message.attempt << ", session " << session
                  << (found == open_.end() ? "" : " on host " + std::to_string(found->second)) << '\n';
    }
    std::cout << "  the faults until then:\n";
    for (const auto& [when, what] : faults_) std::cout << "  " << when.count() << " ms: " << what << '\n';
    std::cout << std::flush;
}

void history::note_fault(const std::string& what) {
    const std::lock_guard lock(mutex_);
    faults_.emplace_back(age(), what);
}

// ---- sessions ------------------------------------------------------------------------------------------------------------------

sim::session_key history::open_session(host_number where) {
    const std::lock_guard lock(mutex_);
    ++sums_.sessions;
    const sim::session_key key{++last_session_};
    open_[key] = where;
    if (doubts_of_broker_ == 0 && doubts_[where] == 0) return key;
    doubtful_.insert(key);
    judge_.session_ended(now(), key);
    return key;
}

void history::session_over(sim::session_key which) {
    const std::lock_guard lock(mutex_);
    open_.erase(which);
    doubtful_.erase(which);
    judge_.session_lost(now(), which);
}

bool history::is_doubtful(sim::session_key which) const {
    const std::lock_guard lock(mutex_);
    const auto found = open_.find(which);
    if (found == open_.end() || doubts_of_broker_ > 0) return false;
    const auto here = doubts_.find(found->second);
    return doubtful_.contains(which) && (here == doubts_.end() || here->second == 0);
}

void history::end_sessions_of(host_number where) {
    for (const auto& [key, on] : open_) {
        if (where != 0 && on != where) continue;
        judge_.session_ended(now(), key);
        doubtful_.insert(key);
    }
}

void history::broker_forgets() {
    end_sessions_of(0);
    judge_.broker_crashed();
}

void history::begin_doubt(host_number about) {
    const std::lock_guard lock(mutex_);
    ++doubts_[about];
    end_sessions_of(about);
}

void history::end_doubt(host_number about) {
    const std::lock_guard lock(mutex_);
    end_sessions_of(about);
    --doubts_[about];
}

void history::begin_doubt_of_broker() {
    const std::lock_guard lock(mutex_);
    ++doubts_of_broker_;
    broker_forgets();
}

void history::end_doubt_of_broker() {
    const std::lock_guard lock(mutex_);
    broker_forgets();
    --doubts_of_broker_;
}

// ---- what is counted -------------------------------------------------------------------------------------------------------------

history::second& history::this_second() {
    const auto index = static_cast<std::size_t>(age().count() / 1000);
    if (seconds_.size() <= index) seconds_.resize(index + 1);
    return seconds_[index];
}

void history::publish_sent() {
    const std::lock_guard lock(mutex_);
    ++sums_.sent;
}

void history::publish_answered(host_number where) {
    const std::lock_guard lock(mutex_);
    ++sums_.answered;
    ++this_second().published;
    const auto moment = clock::now();
    const auto silence = std::chrono::duration_cast<std::chrono::milliseconds>(moment - std::exchange(answered_at_[0], moment));
    answered_at_[where] = moment;
    sums_.silence_max = std::max(sums_.silence_max, silence);
}

void history::publish_refused(const std::string& why) {
    const std::lock_guard lock(mutex_);
    ++sums_.refused;
    ++sums_.refusals[why];
}

void history::delivered(std::uint32_t attempt, bool is_dead_letter) {
    const std::lock_guard lock(mutex_);
    ++sums_.delivered;
    if (is_dead_letter) ++sums_.dead_letters;
    ++this_second().delivered;
    if (attempt <= 1) return;
    ++sums_.again;
    ++this_second().again;
}

void history::settled(std::size_t messages, std::size_t lost) {
    const std::lock_guard lock(mutex_);
    sums_.settled += messages;
    sums_.lost += lost;
}

void history::came_back(std::size_t with_leases) {
    const std::lock_guard lock(mutex_);
    ++sums_.returns;
    sums_.leases_shown += with_leases;
}

void history::taken_up() {
    const std::lock_guard lock(mutex_);
    ++sums_.leases_taken_up;
}

history::totals history::sums() const {
    const std::lock_guard lock(mutex_);
    return sums_;
}

std::vector<history::second> history::seconds() const {
    const std::lock_guard lock(mutex_);
    return seconds_;
}

std::vector<std::string> history::violations() const {
    const std::lock_guard lock(mutex_);
    return violations_;
}

bool history::convicted() const {
    const std::lock_guard lock(mutex_);
    return !violations_.empty();
}

history::clock::time_point history::answered_at(host_number where) const {
    const std::lock_guard lock(mutex_);
    const auto found = answered_at_.find(where);
    return found == answered_at_.end() ? begun_ : found->second;
}

}  // namespace millrace::blackbox
