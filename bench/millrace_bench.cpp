// Measures a running broker through its public client: one publish and one answer per message, every message checked on receipt.
#include <cstdio>
#include <thread>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "bench/disk_probe.hpp"
#include "bench/load.hpp"
#include "bench/peers/peers.hpp"
#include "bench/socket_probe.hpp"
#include "millrace/message.hpp"

namespace millrace::bench {
namespace {

struct options {
    std::string run;
    std::string peer = "millrace";
    load_settings load;
    unsigned turns = 1;
    bool json = false;
    std::string disk = ".";
};

bool consumes(const options& o) { return o.run != "publish" && o.run != "fill"; }

/// Only the drain works on what somebody else has made, a fill before it.
bool makes_subscription(const options& o) { return o.run == "fill" || (consumes(o) && o.run != "drain"); }

// ---- the runs --------------------------------------------------------------------------------------------------------------

struct measured {
    side_result produced;
    side_result consumed;

    void add(const measured& next) {
        produced.add(next.produced);
        consumed.add(next.consumed);
    }
};

/// consume: first everything is published, then it is consumed. Others: both sides at once.
measured perform(const options& o, peer& broker) {
    progress shared;
    measured m;
    if (o.run == "drain") {
        shared.expected = o.load.count;
        m.consumed = run_consumers(o.load, broker, shared);
        return m;
    }
    shared.published_since = steady::now();
    if (o.run == "publish" || o.run == "fill" || o.run == "consume") {
        m.produced = run_producers(o.load, broker, shared);
        if (o.run == "consume" && !shared.failed) m.consumed = run_consumers(o.load, broker, shared);
        return m;
    }
    shared.may_publish = false;
    std::thread consuming([&] { m.consumed = run_consumers(o.load, broker, shared); });
    m.produced = run_producers(o.load, broker, shared);
    consuming.join();
    return m;
}

// ---- results ---------------------------------------------------------------------------------------------------------------

class report {
public:
    void add(const char* name, double value) {
        char text[64];
        std::snprintf(text, sizeof text, "%.10g", value);
        fields_.emplace_back(name, text);
    }
    void add(const char* name, const std::string& value) { fields_.emplace_back(name, '"' + value + '"'); }
    void add(const char* prefix, const histogram& h) {
        const std::string p = prefix;
        fields_.reserve(fields_.size() + 4);
        add((p + "p50_ms").c_str(), h.percentile_ms(0.5));
        add((p + "p99_ms").c_str(), h.percentile_ms(0.99));
        add((p + "p999_ms").c_str(), h.percentile_ms(0.999));
        add((p + "max_ms").c_str(), h.max_ms());
    }

    void print(bool json) const {
        std::string text;
        for (const auto& [name, value] : fields_) text += json ? (text.empty() ? "{" : ",") + ('"' + name + "\":" + value) : name + "  " + value + "\n";
        std::fputs((text + (json ? "}\n" : "")).c_str(), stdout);
    }

private:
    std::vector<std::pair<std::string, std::string>> fields_;
};

void probe(disk_probe& disk) {
    if (const auto failed = disk.measure(std::chrono::seconds(1))) throw std::runtime_error("disk probe: " + to_string(failed));
}

void add_disk(report& r, const disk_speed& disk) {
    r.add("fdatasync_p50_ms", static_cast<double>(disk.small_sync_p50.count()) / 1e6);
    r.add("fdatasync_p99_ms", static_cast<double>(disk.small_sync_p99.count()) / 1e6);
    r.add("disk_bytes_per_second", disk.bytes_per_second);
}

/// For many connections with little on each: there the sockets are what is measured.
void add_sockets(report& r, const load_settings& load) {
    constexpr std::uint32_t pairs_max = 4'000;  // both ends are this process's
    r.add("bare_round_trips_per_second", probe_sockets(std::min(load.producer_connections(), pairs_max), load.size, std::chrono::seconds(1)));
}

/// What is counted is what the run is about: answers, or checked messages.
report report_of(const options& o, const measured& m) {
    const auto& main = consumes(o) ? m.consumed : m.produced;
    const double seconds = std::max(main.seconds(), 1e-9);
    report r;
    r.add("peer", o.peer);
    r.add("run", o.run);
    r.add("size", static_cast<double>(o.load.size));
    r.add("producers", o.load.producers);
    r.add("producer_connections", o.load.producer_connections());
    if (consumes(o)) r.add("consumers", o.load.consumers);
    if (o.load.topics > 1) r.add("topics", o.load.topics);
    r.add("in_flight", o.load.in_flight_each());
    if (o.load.rate > 0) r.add("rate", o.load.rate);
    if (o.turns > 1) r.add("turns", o.turns);
    r.add("messages", static_cast<double>(main.messages));
    r.add("seconds", seconds);
    r.add("messages_per_second", static_cast<double>(main.messages) / seconds);
    r.add("bytes_per_second", static_cast<double>(main.messages * o.load.size) / seconds);
    // A backlog's age is not a latency.
    const bool is_backlog = o.run == "consume" || o.run == "drain";
    if (!is_backlog) r.add("", main.latency);
    if (!consumes(o) || is_backlog) return r;
    r.add("answers_per_second", static_cast<double>(m.produced.messages) / std::max(m.produced.seconds(), 1e-9));
    r.add("answer_", m.produced.latency);
    return r;
}

measured perform_turn(const options& o, peer& broker) {
    broker.set_up(o.load, makes_subscription(o));
    auto m = perform(o, broker);
    const auto& failure = m.produced.failure.empty() ? m.consumed.failure : m.produced.failure;
    if (o.run != "fill") broker.tear_down(o.load, makes_subscription(o));
    if (!failure.empty()) throw std::runtime_error(failure);
    return m;
}

int run(options o) {
    if (o.load.topic.empty()) o.load.topic = "bench-" + std::to_string(::getpid());
    if (o.load.subscription.empty()) o.load.subscription = "bench-" + std::to_string(::getpid());
    const auto broker = make_peer(o.peer);
    disk_probe disk(o.disk);
    measured m;
    for (unsigned turn = 0; turn < o.turns; ++turn) {
        m.add(perform_turn(o, *broker));
        if (!o.disk.empty()) probe(disk);
    }
    auto r = report_of(o, m);
    if (!o.disk.empty()) add_disk(r, disk.speed());
    if (o.load.producer_connections() >= 10) add_sockets(r, o.load);
    r.print(o.json);
    return 0;
}

void add_run(CLI::App& app, options& o, const char* name, const char* help) {
    auto& run_app = *app.add_subcommand(name, help);
    run_app.callback([&o, name] { o.run = name; });
}

void add_options(CLI::App& app, options& o) {
    auto& load = o.load;
    app.add_option("--peer", o.peer, "the broker that is measured")->capture_default_str()->check(CLI::IsMember(peer_names()));
    app.add_option("--server", load.server, "HOST:PORT of the broker")->envname("MILLRACE_SERVER")->capture_default_str();
    app.add_option("--token", load.token, "who this is to a broker that asks; needs publish, consume, and admin without --topic")->envname("MILLRACE_TOKEN");
    app.add_option("--token-file", load.token_file, "a file with the token, which is read instead");
    app.add_option("--topic", load.topic, "an existing topic, or the one to fill; without it the run makes and removes one of its own");
    app.add_option("--topics", load.topics, "this many, and the producers publish to them in turn")->check(CLI::PositiveNumber);
    app.add_option("--size", load.size, "bytes of payload")->capture_default_str()->check(CLI::Range(payload_bytes_min, limits::message_bytes - 1'024));
    app.add_flag("--mixed-sizes", load.mixed_sizes, "each message between half and one and a half times --size");
    app.add_option_function<unsigned>("--seconds", [&load](unsigned s) { load.time = std::chrono::seconds(s); }, "how long to publish (10)");
    app.add_option("--count", load.count, "messages to publish, instead of --seconds; to drain");
    app.add_option("--producers", load.producers, "each publishes on its own")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--connections", load.connections, "that the producers share; without it each has one")->check(CLI::PositiveNumber);
    app.add_option("--consumers", load.consumers, "consuming connections")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option_function<unsigned>("--consume-time", [&load](unsigned us) { load.consume_time = std::chrono::microseconds(us); },
                                      "µs that the consumers' thread takes for each message while there is publishing (0)");
    app.add_option("--in-flight", load.in_flight, "unanswered messages of each producer; default: its part of 20 000")->check(CLI::PositiveNumber);
    app.add_option("--rate", load.rate, "messages a second in all, whether answers come or not")->check(CLI::PositiveNumber);
    app.add_option("--turns", o.turns, "do the whole run this many times, with the disk probed behind each, and tell of all together")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--disk", o.disk, "directory whose disk is probed beside the result; empty: none")->capture_default_str();
    app.add_flag("--json", o.json, "one JSON object per result");
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
    using namespace millrace::bench;
    CLI::App app("Measures a Millrace broker");
    app.require_subcommand(1);
    app.fallthrough();
    options o;
    add_options(app, o);
    add_run(app, o, "publish", "answered messages a second, and the time from publish to answer");
    add_run(app, o, "consume", "publishes a backlog, then consumes it");
    add_run(app, o, "end-to-end", "publishes and consumes at once; the time from publish to handler");
    add_run(app, o, "rate", "as end-to-end, at --rate, each message's time counted from when it was due");
    auto& fill = *app.add_subcommand("fill", "makes --topic and --subscription, publishes --count messages, and leaves all there for a drain");
    fill.callback([&o] { o.run = "fill"; });
    fill.add_option("--subscription", o.load.subscription, "that is to be drained")->required();
    auto& drain = *app.add_subcommand("drain", "consumes --count messages of an existing topic and subscription");
    drain.callback([&o] { o.run = "drain"; });
    drain.add_option("--subscription", o.load.subscription, "whose messages")->required();
    drain.add_option("--leave-every", o.load.leave_every, "leave each message unacked whose sequence divides by this")->check(CLI::PositiveNumber);
    try {
        app.parse(argc, argv);
        if (o.run == "rate" && o.load.rate <= 0) throw CLI::RequiredError("--rate");
        if ((o.run == "fill" || o.run == "drain") && (o.load.topic.empty() || o.load.count == 0)) throw CLI::RequiredError("--topic and --count");
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    o.load.own_topic = o.load.topic.empty() || o.run == "fill";
    try {
        return run(std::move(o));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "millrace-bench: %s\n", e.what());
        return 1;
    }
}
