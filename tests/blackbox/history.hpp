// What happened, as the clients saw it, from many threads: told to the checker that also judges the simulator, and counted for the report.
//
// Who tells what when: what a client does is told before it is sent, what it hears is told after it came. So the checker, which hears one after the other, never
// believes that something had an effect before it could have had one. Its time is the steady clock, which no fault moves.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/blackbox/network.hpp"
#include "tests/sim/checker.hpp"

namespace millrace::blackbox {

class history {
public:
    using clock = std::chrono::steady_clock;

    /// One second of the run.
    struct second {
        std::uint64_t published = 0, delivered = 0, again = 0;
    };
    struct totals {
        std::uint64_t sent = 0, answered = 0, refused = 0, delivered = 0, again = 0, settled = 0, lost = 0, sessions = 0, dead_letters = 0,
                      returns = 0, leases_shown = 0, leases_taken_up = 0;
        std::map<std::string, std::uint64_t> refusals;  // by what the client was told
        std::chrono::milliseconds silence_max{0};       // between two answered publishes
    };

    /// `f(checker, now)`: the first promise that it finds broken is a violation.
    template <class F>
    void tell(F f) {
        const std::lock_guard lock(mutex_);
        try {
            f(judge_, now());
        } catch (const sim::violation& v) {
            note_violation(v.what());
        }
    }
    /// Likewise, of one message in one consumer's hands: when it breaks a promise, everything that was told of that message is printed.
    template <class F>
    void tell(const char* what, const sim::reader& who, const sim::token_range& message, F f) {
        const std::lock_guard lock(mutex_);
        lives_.push_back({age(), what, who, message});
        try {
            f(judge_, now());
        } catch (const sim::violation& v) {
            note_violation(v.what());
            print_life_of(lives_.back());
        }
    }
    /// What else may help to understand a violation: a fault began, or ended.
    void note_fault(const std::string& what);
    void violate(const std::string& what);

    static timestamp now() { return timestamp(std::chrono::duration_cast<std::chrono::microseconds>(clock::now().time_since_epoch())); }

    // ---- sessions. While a fault may end sessions without their clients hearing of it, what those hold is doubtful, and not judged. ----

    sim::session_key open_session(host_number where);
    void session_over(sim::session_key which);
    /// Its client may leave it and open one that is judged again.
    bool is_doubtful(sim::session_key which) const;

    void begin_doubt(host_number about);
    void end_doubt(host_number about);
    /// Of every session: the broker is about to die, or to throw its state away, or has.
    void begin_doubt_of_broker();
    void end_doubt_of_broker();

    // ---- what is counted ----

    void publish_sent();
    void publish_answered(host_number where);
    void publish_refused(const std::string& why);
    void delivered(std::uint32_t attempt, bool is_dead_letter);
    void settled(std::size_t messages, std::size_t lost);
    void came_back(std::size_t with_leases);  // with so many leases to show
    void taken_up();                          // one of them is its own again

    totals sums() const;
    std::vector<second> seconds() const;
    std::vector<std::string> violations() const;
    bool convicted() const;

    /// Since the run began.
    std::chrono::milliseconds age() const { return std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begun_); }
    /// When the newest publish of a host was answered; of any, when `where` is 0.
    clock::time_point answered_at(host_number where) const;

private:
    struct moment_of_life {
        std::chrono::milliseconds when;
        const char* what;
        sim::reader who;
        sim::token_range message;
    };

    void note_violation(const std::string& what);
    void print_life_of(const moment_of_life& one) const;
    second& this_second();
    void end_sessions_of(host_number where);  // 0: of all
    void broker_forgets();

    mutable std::mutex mutex_;
    sim::checker judge_;
    std::map<sim::session_key, host_number> open_;
    std::set<sim::session_key> doubtful_;  // of the open ones
    std::map<host_number, unsigned> doubts_;
    unsigned doubts_of_broker_ = 0;
    std::uint64_t last_session_ = 0;
    clock::time_point begun_ = clock::now();
    std::map<host_number, clock::time_point> answered_at_{{0, begun_}};
    std::vector<second> seconds_;
    totals sums_;
    std::vector<std::string> violations_;
    std::vector<moment_of_life> lives_;
    std::vector<std::pair<std::chrono::milliseconds, std::string>> faults_;
};

}  // namespace millrace::blackbox
