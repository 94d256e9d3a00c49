#include "tests/blackbox/world.hpp"

#include <algorithm>

namespace millrace::blackbox {
namespace {

constexpr unsigned producers_each = 2;

const std::string photos = "photos", orders = "orders", dead_letters = "dead";

/// What dies of "billing" stays there, and keeps the entries that it is in: some 70 MiB a minute.
std::uint64_t disk_bytes(double minutes) { return std::max(std::uint64_t{512} << 20, static_cast<std::uint64_t>(minutes * (160u << 20))); }

}  // namespace

world::world(std::uint64_t seed, double minutes)
    : random_(seed), disk_(disk_bytes(minutes)), wires_(random_.next()), home_(wires_, broker_host), broker_(home_, disk_), scene_{.told = told_} {
    told_.tell([](sim::checker& judge, timestamp) { judge.clocks_run_up_to(1'100); });  // broker time leans by a tenth to a wall clock that was set
    broker_.start();
    scene_.server = broker_.address();
    for (unsigned i = 0; i < client_hosts; ++i) {
        hosts_.push_back(std::make_unique<client_host_state>());
        hosts_.back()->machine = std::make_unique<host>(wires_, first_client_host + i);
    }
    home_.run([&] { create_topics(); });
}

world::~world() { depopulate(); }

// ---- topics --------------------------------------------------------------------------------------------------------------------

void world::add_topic(process::blocking_client& admin, const std::string& name, std::uint32_t partitions) {
    const auto made = process::blocking_client::value(admin.call<client::topic_description>(
        [&](auto& b, auto done) { b.async_create_topic(name, {.partitions = partitions}, std::move(done)); }));
    scene_.topics.push_back({name, made.id, partitions});
    told_.tell([&](sim::checker& judge, timestamp) { judge.topic_created(made.id, name); });
}

void world::add_subscription(process::blocking_client& admin, const topic_in_use& of, const std::string& name, const client::subscription_settings& how) {
    admin.create_subscription(of.name, name, how);
    const auto made = admin.describe(of.name, name);
    const auto visibility = *made.settings.visibility_timeout;
    scene_.subscriptions.push_back({of, name, made.id, visibility});
    sim::subscription_promise promise{of.name, name, of.id, std::vector<sequence>(of.partitions), visibility, *made.settings.backoff_min,
                                      *made.settings.max_deliveries, made.settings.dead_letter.value_or("")};
    told_.tell([&](sim::checker& judge, timestamp) { judge.subscription_created(made.id, promise); });
}

void world::create_topics() {
    process::blocking_client admin(broker_.address());
    add_topic(admin, photos, 3);
    add_topic(admin, orders, 1);
    add_topic(admin, dead_letters, 1);
    const auto graves = scene_.topics.back();
    scene_.topics.pop_back();  // published to by the broker alone
    add_subscription(admin, scene_.topics[0], "resize", {.visibility_timeout = 2s, .max_deliveries = 4, .backoff_min = 200ms, .backoff_max = 2s, .dead_letter = dead_letters});
    add_subscription(admin, scene_.topics[0], "index", {.visibility_timeout = 1s, .max_deliveries = 0, .backoff_min = 50ms, .backoff_max = 1s});
    add_subscription(admin, scene_.topics[1], "billing", {.visibility_timeout = 3s, .max_deliveries = 3, .backoff_min = 500ms, .backoff_max = 2s});
    add_subscription(admin, graves, "undertaker", {.visibility_timeout = 5s, .max_deliveries = 0, .backoff_min = 100ms, .backoff_max = 500ms});
}

// ---- clients ---------------------------------------------------------------------------------------------------------------------

void world::begin() {
    // Broker time leans to the wall clock by a tenth.
    if (broker_.has_clock()) told_.tell([](sim::checker& judge, timestamp) { judge.clocks_run_up_to(1100); });
    for (auto& h : hosts_) h->machine->run([&] { populate(*h); });
    home_.run([&] { watcher_ = std::make_unique<watcher>(scene_, home_.io()); });
}

void world::populate(client_host_state& on) {
    auto& io = on.machine->io();
    const auto where = on.machine->number();
    for (unsigned i = 0; i < producers_each; ++i)
        on.producers.push_back(std::make_unique<producer>(scene_, io, where, "producer-" + std::to_string(where) + "-" + std::to_string(i), random_.next()));
    for (const auto& s : scene_.subscriptions)
        for (int i = 0; i < 2; ++i) on.consumers.push_back(std::make_unique<consumer>(scene_, io, where, s, i == 0, random_.next()));
}

void world::depopulate() {
    for (auto& h : hosts_)
        h->machine->run([&] {
            h->producers.clear();
            h->consumers.clear();
        });
    home_.run([&] { watcher_.reset(); });
}

void world::restart_broker() {
    if (broker_.is_clock_changed()) told_.tell([](sim::checker& judge, timestamp) { judge.time_leapt(); });
    broker_.start();
}

// ---- the end ---------------------------------------------------------------------------------------------------------------------

bool world::is_settled() {
    for (auto& h : hosts_)
        for (auto& p : h->producers)
            if (h->machine->run([&] { return p->under_way(); }) > 0) return false;
    return home_.run([&] { return watcher_->is_at_rest(); });
}

std::string world::unsettled() {
    std::size_t under_way = 0;
    for (auto& h : hosts_)
        for (auto& p : h->producers) under_way += h->machine->run([&] { return p->under_way(); });
    return std::to_string(under_way) + " publishes under way;" + home_.run([&] { return watcher_->restless(); });
}

milliseconds world::finish() {
    scene_.settling = true;
    const auto begun = history::clock::now();
    const auto since = [&] { return std::chrono::duration_cast<milliseconds>(history::clock::now() - begun); };
    // A round that began before the last publish was answered says nothing: two more rounds have to agree.
    std::uint64_t settled_at = 0;
    for (;;) {
        if (broker_.ended_unasked() || since() > settled_within) break;
        const auto rounds = home_.run([&] { return watcher_->rounds(); });
        if (!is_settled()) settled_at = 0;
        else if (settled_at == 0) settled_at = rounds + 2;
        else if (rounds >= settled_at) break;
        std::this_thread::sleep_for(50ms);
    }
    const auto took = since();
    if (settled_at == 0) told_.violate("not settled " + std::to_string(took.count()) + " ms after the last fault: " + unsettled());
    depopulate();
    if (const auto code = broker_.ended_unasked()) told_.violate("the broker ended by itself with " + std::to_string(*code));
    else if (const auto stopped = broker_.stop(); stopped != 0) told_.violate("the broker ended with " + std::to_string(stopped));
    if (settled_at != 0) told_.tell([](sim::checker& judge, timestamp) { judge.settle_accounts(); });
    return took;
}

}  // namespace millrace::blackbox
