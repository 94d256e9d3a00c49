#include "tests/sim/world.hpp"

#include <algorithm>
#include <set>

namespace millrace::sim {

using namespace std::chrono_literals;

world::world(std::uint64_t seed, trace& noted, machine* on)
    : noted_(noted),
      random_(seed),
      own_machine_(on ? nullptr : make_memory_machine(random_)),
      machine_(on ? *on : *own_machine_),
      store_(events_, random_, manners_, machine_),
      broker_(events_, random_, noted_, judge_, store_, habits_, clocks_),
      around_{events_, random_, noted_, judge_, broker_, weather_, known_} {
    draw_weather();
    draw_habits();
    draw_faults();
    topics_ = draw_topics();
    admin_ = std::make_unique<admin_client>(around_, topics_, draw_subscriptions());
    draw_clients();
}

world::~world() = default;

// ---- what the seed decides ----

void world::draw_weather() {
    weather_.delay_max = random_.between(100us, random_.chance(300) ? 50ms : 3ms);
    weather_.stall_in_1000 = random_.chance(500) ? random_.below(10) : 0;
    weather_.half_open_in_1000 = random_.chance(500) ? random_.below(300) : 0;
    weather_.slow_in_1000 = random_.chance(200) ? random_.below(300) : 0;
    weather_.late_in_1000 = random_.chance(500) ? random_.below(200) : 0;
    manners_.commit_max = random_.between(200us, random_.chance(300) ? 100ms : 5ms);
    manners_.read_max = random_.between(100us, random_.chance(300) ? 50ms : 5ms);
}

void world::draw_habits() {
    habits_.shard.level = store_.level();
    habits_.shard.load_bytes = 1u << random_.below(16);
    habits_.shard.load_blocks = static_cast<std::uint32_t>(1 + random_.below(3));
    habits_.shard.window_messages = random_.chance(700) ? 1 : 8u << 20;  // the least there is for each partition, or plenty
    habits_.driver.tail_cache_bytes = random_.chance(600) ? 1 + random_.below(20'000) : 96u << 20;
    habits_.driver.read_cache_bytes = random_.chance(600) ? 1 + random_.below(20'000) : 32u << 20;
    habits_.driver.groups_in_flight = random_.between(1, 4);
    habits_.driver.scrub_bytes_per_second = habits_.driver.tail_cache_bytes % 2 == 0 ? 0 : 20'000;
    habits_.driver.company_time = std::chrono::microseconds(habits_.driver.read_cache_bytes % 2 * 500);
    habits_.session.broker_name = "simulated";
    habits_.shards_max = random_.chance(500) ? 1 : static_cast<std::uint32_t>(random_.between(2, 4));
    habits_.parcel_max = random_.between(1us, random_.chance(200) ? 10ms : 200us);
}

void world::draw_faults() {
    if (random_.chance(700)) faults_.broker_crash = random_.below(150);
    if (random_.chance(700)) faults_.connection_cut = random_.below(300);
    if (random_.chance(500)) faults_.admin_cut = random_.below(100);
    if (random_.chance(300)) manners_.failed_commit_in_100000 = random_.below(60);
    if (random_.chance(300)) faults_.disk_fills = random_.below(300);
    disk_reserve_ = 1u << random_.between(10, 22);
    around_.disk_fills = faults_.disk_fills > 0;
    if (random_.chance(300)) faults_.partition = random_.below(150);
    if (random_.chance(300)) draw_clocks();
    if (!own_machine_) manners_.side_by_side_in_1000 = random_.below(1000);
}

/// The broker's steady clock is off by 2 in 100 at most, and so is each client's; its wall clock is set besides. A tenth more is how broker time follows it.
void world::draw_clocks() {
    clocks_.drift_in_1000 = static_cast<std::int64_t>(random_.below(41)) - 20;
    faults_.clock_set = random_.below(200);
    around_.clocks_differ = true;
    judge_.clocks_run_up_to(1130);
}

void world::draw_clients() {
    const auto crowd = random_.chance(20) ? random_.between(20, 50) : 1;  // times as many, who do as much together
    act_max_ *= static_cast<std::int64_t>(crowd);
    const auto add = [&](std::uint64_t count, auto make) {
        for (auto i = count * crowd; i > 0; --i) clients_.push_back(make(i));
    };
    add(random_.between(1, 2), [&](auto i) { return std::make_unique<library_client>(around_, i); });
    add(random_.between(2, 6), [&](auto i) { return std::make_unique<lease_client>(around_, i); });
    add(random_.below(3), [&](auto) { return std::make_unique<producer_client>(around_, random_.chance(600) ? "till" : "desk"); });
}

std::vector<wanted_topic> world::draw_topics() {
    std::vector<wanted_topic> out;
    out.push_back({"orders", 1, true, true, 0, 0, 0ms, false});
    out.push_back({"photos", static_cast<std::uint32_t>(random_.between(1, 3)), true, true, 0, 0, 0ms, false});
    out.push_back({"dead", static_cast<std::uint32_t>(random_.between(1, 2)), true, false, 0, 0, 0ms, false});
    out.push_back({"scratch", static_cast<std::uint32_t>(random_.between(1, 2)), false, true, 0, 0, 0ms, false});
    if (random_.chance(400)) out.push_back({"tight", 1, true, true, 0, random_.between(5'000, 50'000), 0ms, false});
    if (random_.chance(400)) out.push_back({"kept", 1, true, true, random_.between(1'000, 30'000), 0, 0ms, false});
    if (random_.chance(400))
        out.push_back({"leaky", 1, true, true, 0, random_.between(5'000, 50'000), std::chrono::milliseconds{random_.chance(500) ? random_.between(1'000, 5'000) : 0}, true});
    return out;
}

std::vector<wanted_subscription> world::draw_subscriptions() {
    std::vector<wanted_subscription> out;
    const auto add = [&](std::string topic, std::string name, std::uint32_t max_deliveries, std::string dead_letter, bool guest) {
        const auto visibility = std::chrono::milliseconds{random_.between(500, 8'000)};
        const auto backoff = std::chrono::milliseconds{random_.between(50, 1'000)};
        out.push_back({std::move(topic), std::move(name), visibility, max_deliveries, backoff, backoff * 4, std::move(dead_letter), guest});
    };
    add("orders", "billing", static_cast<std::uint32_t>(random_.between(1, 4)), "dead", false);
    add("orders", "audit", 2, "", false);
    add("photos", "resize", static_cast<std::uint32_t>(random_.between(1, 4)), "dead", false);
    if (random_.chance(500)) add("photos", "index", 0, "", false);
    add("dead", "undertaker", 0, "", false);
    add("scratch", "only", 3, random_.chance(500) ? "dead" : "", false);
    if (random_.chance(500)) add("scratch", "guest", 3, "", true);
    for (const auto& t : topics_)
        if (t.name == "tight" || t.name == "kept" || t.name == "leaky") add(t.name, "slow", 3, random_.chance(500) ? "dead" : "", false);
    return out;
}

// ---- the run ----

void world::keep_acting(std::function<void()> act, std::chrono::microseconds least, std::chrono::microseconds most) {
    events_.after(random_.between(least, most), [this, act, least, most] {
        act();
        keep_acting(act, least, most);
    });
}

void world::every_second() {
    if (!broker_.is_up() && (around_.settling || random_.chance(700))) broker_.start();
    if (!around_.settling) {
        if (broker_.is_up() && random_.chance(faults_.broker_crash)) broker_.crash();
        for (auto& c : clients_)
            if (random_.chance(faults_.connection_cut)) c->cut();
        if (random_.chance(faults_.partition)) part_network();
        if (random_.chance(faults_.admin_cut)) admin_->cut();
        if (random_.chance(faults_.disk_fills)) change_disk();
        if (random_.chance(faults_.clock_set)) set_clock();
    }
    events_.after(random_.between(500ms, 1500ms), [this] { every_second(); });
}

/// Somebody else has filled it, or has made room.
void world::change_disk() {
    const auto free = random_.chance(500) ? random_.below(2 * disk_reserve_) : disk_reserve_ * random_.between(2, 100);
    noted_.note(events_.now(), "disk free reserve", free, disk_reserve_);
    store_.set_disk(storage::disk_space{free, disk_reserve_});
}

/// Some of the clients do not hear the broker, or it does not hear them, or both, for a while.
void world::part_network() {
    const auto share = random_.between(100, 900);
    const auto direction = random_.below(3);
    const auto lasts = random_.chance(700) ? random_.between(100ms, 5s) : random_.between(5s, 40s);
    noted_.note(events_.now(), "network-parts direction lasts-ms", direction, lasts.count() / 1000);
    for (auto& c : clients_) {
        if (!c->wire() || !random_.chance(share)) continue;
        if (direction != 0) c->wire()->deafen(side::client, lasts);
        if (direction != 1) c->wire()->deafen(side::broker, lasts);
    }
}

/// By a little, or by up to six hours, forward or back.
void world::set_clock() {
    const auto most = random_.chance(500) ? std::chrono::microseconds{5s} : std::chrono::microseconds{6h};
    clocks_.wall_ahead = random_.between(0us, 2 * most) - most;
    noted_.note(events_.now(), "wall-clock ahead-ms", clocks_.wall_ahead.count() / 1000);
}

run_report world::run() {
    const auto began = events_.now();
    broker_.start();
    keep_acting([this] { admin_->act(); }, 1ms, 100ms);
    events_.run_until(began + 2s);  // most of the topics are there
    for (auto& c : clients_) keep_acting([&c] { c->act(); }, 1ms, act_max_);
    every_second();
    events_.run_until(events_.now() + random_.between(5s, 60s));
    settle();
    check_store();
    return {std::chrono::duration<double>(events_.now() - began).count(), events_.performed(), clients_.size(), judge_.deliveries(), judge_.dead_letters(),
            broker_.recoveries(), noted_.fingerprint()};
}

void world::settle() {
    around_.settling = true;
    around_.settling_since = events_.now();
    manners_.failed_commit_in_100000 = 0;
    machine_.end_faults();
    if (store_.space()) store_.set_disk(storage::disk_space{~std::uint64_t{0} >> 1, disk_reserve_});
    weather_.stall_in_1000 = weather_.slow_in_1000 = weather_.late_in_1000 = 0;
    for (auto& c : clients_)
        if (c->wire() && c->wire()->is_ill()) c->cut();
    noted_.note(events_.now(), "faults-end");
    const auto since = events_.now();
    // Quiet for a while, and looked at twice: dead letters may still have been on their way, and what a client sends again that comes back late. What comes in
    // the last moment is in the store before anybody is told.
    for (int quiet = 0; quiet < 4;) {
        if (events_.now() - since > settle_bound) throw violation("not settled in time: " + (admin_->has_everything() ? admin_->unsettled() : "topics are missing"));
        const auto delivered = judge_.deliveries();
        const auto committed = broker_.commits();
        events_.run_until(events_.now() + 2s);
        const auto leaving = store_.rows({"H", "I"}).size();
        const auto has_worked = judge_.deliveries() != delivered || broker_.commits() != committed || broker_.reads_wait();
        const auto is_quiet = admin_->has_everything() && admin_->is_all_settled() && leaving == 0 && !has_worked;
        quiet = is_quiet ? quiet + 1 : 0;
    }
    for (const auto& t : topics_)
        if (t.expires) judge_.may_skip(known_.topics.at(t.name).id);
    judge_.settle_accounts();
}

/// What is left in the store is needed: entries with a parked message, or kept for replay.
void world::check_store() {
    std::map<core::subscription_id, core::topic_id> topic_of;
    for (const auto& s : known_.subscriptions) topic_of[core::subscription_id{s.id}] = core::topic_id{known_.topics.at(s.topic).id};
    std::map<core::partition_id, std::set<sequence>> parked;
    for (const auto& r : store_.rows({"F", "G"})) {
        core::failure_row f;
        if (const auto damaged = core::decode(r, f)) throw violation(to_string(damaged));
        if (!topic_of.contains(f.subscription)) throw violation("a failed message of a subscription that is gone is still in the store");
        if (!f.parked) throw violation("a failed message has been settled and its row is still in the store: " + std::to_string(f.at.value));
        parked[{topic_of.at(f.subscription), f.partition}].insert(f.at);
    }
    if (const auto blocks = store_.rows({"B", "C"}); !blocks.empty())
        throw violation(std::to_string(blocks.size()) + " rows of settled blocks are in the store though everything is settled");
    for (const auto& t : topics_) {
        if (t.keep_bytes > 0) continue;
        const auto& topic = known_.topics.at(t.name);
        const auto read = std::any_of(known_.subscriptions.begin(), known_.subscriptions.end(), [&](const auto& s) { return s.topic == t.name; });
        for (std::uint32_t p = 0; read && p < topic.partitions; ++p) {
            const core::partition_id id{core::topic_id{topic.id}, p};
            for (const auto& e : store_.entries(id)) {
                const auto needed = parked[id];
                const auto first = driver::index_entry(e.last, e.bytes).value().index->first;
                const auto it = needed.lower_bound(first);
                if (it == needed.end() || *it > e.last)
                    throw violation("an entry that nobody needs is in the store: topic " + t.name + " partition " + std::to_string(p) + " messages " +
                                    std::to_string(first.value) + " to " + std::to_string(e.last.value));
            }
        }
    }
}

}  // namespace millrace::sim
