// The queue semantics of one shard as a pure state machine: step(now, input) → effects. One thread; no IO, no clock, no logger, no randomness.
//
//      commands ──► step ──► state in memory, changed at once
//                    │ └───► mutations and answers of the OPEN group
//                    ▼
//      close_group(): the open group goes to the store; committed(n) makes its answers leave and its messages deliverable
//
// Nothing leaves before what it depends on is durable: an answer waits for the youngest group that is not, and messages are delivered
// only below the durable high. A failed commit ends the shard's life: it is thrown away and recovered from the store.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/core/effect.hpp"
#include "broker/core/figures.hpp"
#include "broker/core/input.hpp"
#include "broker/core/partition_log.hpp"
#include "broker/core/producers.hpp"
#include "broker/core/subscription.hpp"
#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace::core {

struct shard_settings {
    durability level = durability::disk;       // what a committed group is worth
    std::uint32_t load_bytes = 1u << 20;       // of one read ahead
    std::uint32_t load_blocks = 64;            // rows of one read of settled blocks
    std::uint64_t window_messages = 8u << 20;  // remembered sizes, over all partitions
    duration adoption_wait{2'000};             // after a restart, before old messages are given to anybody
    duration session_grace{10'000};            // how long a lost session keeps what it has started
    duration longest_lease{std::chrono::hours{12}};
    shard_place place{};
};

class shard {
public:
    /// A shard as its rows of start_rows() say, in key order. Errors: corruption, naming the row.
    /// A subscription whose rows contradict each other, or cannot be read, is recovered in quarantine; quarantined() names it.
    static result<shard> recover(const shard_settings& settings, const std::vector<row>& rows);

    /// Performs one input at `now`, which never goes back, and appends to `out`. An input for a topic, subscription or session that is gone is
    /// answered or dropped, never an error of the caller.
    void step(timestamp now, const any_input& in, effects& out);

    /// Whether there is anything to commit.
    bool has_open_group() const;

    /// Hands the open group over and opens the next. REQUIRES has_open_group().
    group close_group();

    /// When the shard wants a tick, at the latest.
    std::optional<timestamp> next_deadline() const { return deadline_; }

    /// Whether messages may still go to it. One that is gone hears of that when its deletion is durable.
    bool has_consumer(holder_id id) const { return consumers_.contains(id); }

    /// Whether a batch is neither one that was taken before nor one to be refused by its number.
    bool is_new(const batch_claim& claim, partition_id partition) const;

    /// Why each subscription that is in quarantine is.
    std::vector<error> quarantined() const;

    /// Of any shard: the catalog is the same in all of them.
    std::optional<topic_id> topic_named(const std::string& name) const;

    /// The id that the next topic gets.
    topic_id next_topic() const { return topic_id{meta_.next_topic}; }

    /// "partition 3 of topic 'photos'"
    std::string place_of(partition_id id) const;

    // ---- for those who look on, between steps (shard_look.cpp); what they see may not be durable yet ----

    /// Errors: no_such_topic, no_such_subscription.
    result<answers::topic_info> look_at_topic(const std::string& name) const;
    result<answers::subscription_info> look_at_subscription(const std::string& topic, const std::string& name) const;

    /// At most `limit` names, in order, after `after`.
    answers::name_page topic_names(const std::string& after, std::size_t limit) const;
    result<answers::name_page> subscription_names(const std::string& topic, const std::string& after, std::size_t limit) const;

    std::vector<consumer_figures> consumers_of(session_id session) const;

    /// The topics that follow the id `after`, oldest first; no more once so many partitions, and subscriptions in them, have been looked at. Empty: there
    /// are none.
    std::vector<topic_figures> figures_after(topic_id after, std::size_t partitions) const;

    /// The first message that is kept at or after `from` of `partition`, in the order of topics and partitions; none: there is no more.
    std::optional<std::pair<partition_id, sequence>> kept_from(partition_id partition, sequence from) const;

    std::size_t topics() const { return topics_.size(); }
    std::size_t subscriptions() const { return subscriptions_.size(); }
    std::size_t consumers() const { return consumers_.size(); }
    std::uint64_t acked_messages() const { return acked_; }  // since it was opened

    /// Aborts unless all that is promised holds; see progress::check.
    void check() const;

private:
    explicit shard(const shard_settings& settings) : settings_(settings), producers_(settings.place) {}

    struct topic {
        topic_row row;
        std::vector<partition_log> logs;
        std::map<std::string, subscription_id> subscriptions;
    };

    /// What leaves when a group is durable.
    struct pending_group {
        group_number number{};
        std::vector<answer> answers;
        std::vector<consumer_ended> ended;
        std::vector<partition_id> appended;
        std::vector<hand_over> hand_overs;
    };

    /// A command that waits until settled blocks are loaded.
    struct parked {
        subscription_id subscription{};
        std::uint32_t partition = 0;
        any_input command;
    };

    // shard_recover.cpp: from rows to a shard
    struct found_rows;
    error take_row(const core::row& r, found_rows& found);
    error recover_logs(const found_rows& found);
    error recover_progress(const found_rows& found);
    error recover_failures(const found_rows& found);
    void recover_work();

    // shard.cpp: groups and loads
    void perform(const input::committed&);
    void perform(const input::loaded_entries&);
    void perform(const input::loaded_blocks&);
    void perform(const input::read_failed&);
    void perform(const input::tick&);
    void read_again_later();
    void retry_reads();
    void look_again(topic& t, partition_log& log);
    void reply(origin to, any_answer what);
    void release(answer&& a);
    void resume_parked(const std::function<bool(const parked&)>& which);
    void request_entries(partition_log& log, sequence from);
    void read_ahead(partition_log& log, sequence from);
    void request_blocks(const subscription& s, std::uint32_t partition, std::uint64_t block);
    group_number open_number() const { return group_number{static_cast<std::uint64_t>(last_closed_) + 1}; }

    // shard_damage.cpp: what the store cannot give, or gives and cannot be true
    void quarantine(subscription& s, std::uint32_t partition, const std::string& what);
    error refuse_quarantined(const topic& t) const;
    void perform(const input::scan_failed&);
    void perform(const input::damaged&);
    void perform(const input::undelivered&);

    // shard_catalog.cpp: topics and subscriptions
    void perform(const input::list_metadata&);
    void perform(const input::create_topic&);
    void perform(const input::update_topic&);
    void perform(const input::describe_topic&);
    void perform(const input::list_topics&);
    void perform(const input::delete_topic&);
    void perform(const input::create_subscription&);
    void perform(const input::describe_subscription&);
    void perform(const input::list_subscriptions&);
    void perform(const input::update_subscription&);
    error check_dead_letter(const topic& source, const std::string& target) const;
    void perform(const input::delete_subscription&);
    static error no_topic(const std::string& name);
    static error no_subscription(const std::string& topic_name, const std::string& name);
    answers::topic_info describe(const topic&) const;
    answers::subscription_info describe(const subscription&) const;
    void remove_subscription(subscription&, const error& why);
    void put_catalog(row changed);
    void erase_catalog(std::string key);
    void put_meta();
    sequence low_of(const topic& t, std::uint32_t partition) const;
    void add_partitions(topic& t, std::uint32_t count);
    topic* find_topic(const std::string& name);
    topic* find_topic(topic_id id);
    subscription* find_subscription(subscription_id id);
    partition_log* find_log(partition_id id);
    result<topic*> named_topic(const std::string& name);
    result<subscription*> named_subscription(const std::string& topic_name, const std::string& name);

    // shard_look.cpp
    topic_figures figures_of(const topic&) const;
    subscription_figures figures_of(const topic&, const subscription&) const;

    // shard_publish.cpp
    void perform(const input::publish&);
    void perform(const input::open_producer&);
    void perform(const input::peek&);

    // shard_consume.cpp: consumers and delivery
    void perform(const input::subscribe&);
    void perform(const input::unsubscribe&);
    void perform(const input::credit&);
    void perform(const input::session_lost&);
    void remove_consumer(consumer& c);
    bool park_until_known(const subscription& s, const std::vector<lease_range>& ranges, const std::function<any_input()>& command);
    void feed(consumer& c);
    void pump(subscription& s);
    bool deliver_one(subscription& s, std::uint32_t partition);
    consumer* find_consumer(session_id session, consumer_id id);

    // shard_lease.cpp: what happens to what consumers hold
    void perform(const input::start&);
    void perform(const input::ack&);
    void perform(const input::nack&);
    void perform(const input::reject&);
    void perform(const input::release&);
    void perform(const input::extend&);
    void perform(const input::handed_over&);
    template <class Command, class Apply>
    void hand_in(const Command& c, const std::string& reason, Apply apply);
    result<consumer*> owner_of(origin from, consumer_id id, const std::vector<lease_range>& ranges);
    void exhaust(subscription& s, progress& p, const std::vector<sequence>& exhausted, const std::string& reason);
    hand_over hand_over_of(const subscription& s, const hand_over_row& r) const;
    void park_hand_overs(subscription& s);
    void stall(const subscription& s, const hand_over_row& r);
    void retry_hand_overs();
    void note_aging(const topic& t);
    void check_ages();
    void tidy(topic& t, bool is_recovered);
    void arm(subscription& s, std::uint32_t partition);
    void begin_time(timestamp now);
    void fire_timers();
    void wake_at(timestamp when);

    // shard_others.cpp: what other shards have done
    void perform(const input::learn_topic&);
    void perform(const input::learn_subscription&);
    void perform(const input::forget_topic&);
    void perform(const input::forget_subscription&);
    void perform(const input::learn_producer&);
    void perform(const input::forget_producer&);
    void perform(const input::note_use&);
    void perform(const input::arrive&);
    void perform(const input::moved&);
    bool is_elsewhere(const topic& t) const { return !settings_.place.holds(t.row.id); }

    // shard_space.cpp: cursors, retention, limits
    void perform(const input::purge_topic&);
    void progressed(subscription& s, std::uint32_t partition, sequence first, sequence last);
    void reclaim(topic& t, partition_log& log);
    void free_holes(topic& t, partition_log& log, sequence first, sequence last);
    void free_all_holes(topic& t, partition_log& log);
    bool is_needed_by_none(topic& t, const partition_log& log, sequence first, sequence last);
    sequence first_settled_by_all(const topic& t, const partition_log& log, sequence from, sequence last) const;
    void release_passed(topic& t, partition_log& log);
    void trim(topic& t, partition_log& log);
    void enforce_limits(topic& t, partition_log& log);
    error refuse_at_limit(const topic& t, const partition_log& log, std::uint64_t more) const;
    bool settle_unleased(topic& t, partition_log& log, sequence first, sequence last, std::uint64_t settled_counts::*as, const any_input* retry);

    shard_settings settings_;
    timestamp now_;
    effects* out_ = nullptr;  // during step()

    meta_row meta_;
    std::map<topic_id, topic> topics_;
    std::set<topic_id> aging_;  // whose messages end with time: looked at without anybody asking
    std::map<std::string, topic_id> names_;
    std::map<subscription_id, subscription> subscriptions_;
    std::map<holder_id, consumer> consumers_;
    producers producers_;
    std::uint64_t logs_ = 0;
    std::uint64_t acked_ = 0;

    // The open group.
    std::set<partition_id> dirty_logs_;
    std::set<std::pair<subscription_id, std::uint32_t>> dirty_progress_;
    std::vector<mutation> mutations_;                                // frees and drops
    std::map<std::string, std::optional<std::string>> catalog_rows_;  // puts, and erases where there is no value
    pending_group open_;

    std::deque<pending_group> in_flight_;
    group_number last_closed_{};
    group_number durable_{};

    std::set<std::pair<subscription_id, std::uint32_t>> loading_blocks_;
    std::set<partition_id> failed_reads_;                                               // tried again at reread_at_
    std::map<std::pair<subscription_id, std::uint32_t>, std::uint64_t> failed_scans_;  // and these, from that block on
    timestamp reread_at_;
    std::vector<parked> parked_;
    std::map<partition_id, std::map<sequence, sequence>> to_free_;  // settled ranges, first → last, whose entries are not looked at yet

    using progress_key = std::pair<subscription_id, std::uint32_t>;
    std::set<std::pair<timestamp, progress_key>> timers_;  // leases that may end, delayed messages that are due
    std::map<progress_key, timestamp> armed_;
    std::vector<hand_over> stalled_;  // their target was missing or full, or a restart came between: tried again
    timestamp retry_at_;
    std::set<dead_message> moving_;   // on their way to another shard
    std::set<dead_message> arrived_;  // had arrived there before a restart, which their rows do not say yet
    std::optional<timestamp> deadline_;
    timestamp next_age_check_;
    bool just_recovered_ = false;  // what was being reclaimed or expired is taken up by the first tick
    std::optional<timestamp> opened_at_;
    bool adopting_ = false;  // returning clients may still claim what they held before a restart: such partitions give nothing
};

}  // namespace millrace::core
