// millrace subscription create|list|describe|update|delete
#include <charconv>
#include <ctime>
#include <memory>

#include "client/cli/command.hpp"
#include "client/cli/json.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

using client::start_position;
using client::subscription_description;
using client::subscription_progress;

struct subscription_options {
    std::string topic;
    std::string name;
    client::subscription_settings settings;
    start_position start;
    bool force = false;
};

std::string json_of(const subscription_progress& p) {
    return json_object().add("start", p.start.value).add("cursor", p.cursor.value).add("high", p.high.value).add("published", p.published)
        .add("acked", p.acked).add("dead", p.dead).add("parked", p.parked).add("expired", p.expired).add("skipped", p.skipped)
        .add("delayed", p.delayed).add("ready", p.ready).add("leased", p.leased).text();
}

std::string json_of(const subscription_description& d) {
    json_object o;
    o.add("topic", d.topic).add("name", d.name).add("id", d.id).add("created_at", std::string_view(format_time(d.created_at)));
    if (d.settings.visibility_timeout) o.add("visibility_timeout_ms", d.settings.visibility_timeout->count());
    if (d.settings.max_deliveries) o.add("max_deliveries", *d.settings.max_deliveries);
    if (d.settings.backoff_min) o.add("backoff_min_ms", d.settings.backoff_min->count());
    if (d.settings.backoff_max) o.add("backoff_max_ms", d.settings.backoff_max->count());
    if (d.settings.dead_letter) o.add("dead_letter", *d.settings.dead_letter);
    o.add("consumers", d.consumers);
    std::string partitions = "[";
    for (const auto& p : d.partitions) partitions += (partitions.size() > 1 ? "," : "") + json_of(p);
    o.add_raw("partitions", partitions + "]");
    if (!d.inconsistent.empty()) o.add("inconsistent", d.inconsistent);
    return o.text();
}

std::string text_of(const subscription_description& d) {
    std::string out = "topic               " + d.topic + "\nsubscription        " + d.name + "\ncreated             " + format_time(d.created_at) + "\n";
    if (d.settings.visibility_timeout) out += "visibility-timeout  " + format_duration(*d.settings.visibility_timeout) + "\n";
    if (d.settings.max_deliveries) out += "max-deliveries      " + std::to_string(*d.settings.max_deliveries) + "\n";
    if (d.settings.backoff_min && d.settings.backoff_max)
        out += "backoff             " + format_duration(*d.settings.backoff_min) + ".." + format_duration(*d.settings.backoff_max) + "\n";
    if (d.settings.dead_letter && !d.settings.dead_letter->empty()) out += "dead-letter         " + *d.settings.dead_letter + "\n";
    out += "consumers           " + std::to_string(d.consumers) + "\n";
    if (!d.inconsistent.empty()) out += "inconsistent        " + d.inconsistent + "\n";
    for (std::size_t i = 0; i < d.partitions.size(); ++i) {
        const auto& p = d.partitions[i];
        out += "partition " + std::to_string(i) + "         cursor " + std::to_string(p.cursor.value) + " high " + std::to_string(p.high.value);
        const std::pair<const char*, std::uint64_t> states[] = {{"ready", p.ready}, {"leased", p.leased}, {"acked", p.acked}, {"delayed", p.delayed},
                                                                {"dead", p.dead}, {"parked", p.parked}, {"expired", p.expired}, {"skipped", p.skipped}};
        for (const auto& [name, count] : states) out += std::string(" ") + name + " " + std::to_string(count);
        out += "\n";
    }
    return out;
}

asio::awaitable<void> create(session& s, subscription_options o) {
    const auto d = checked(co_await s.broker.async_create_subscription(o.topic, o.name, o.settings, o.start, as_result));
    if (s.json) write_line(json_of(d));
}

asio::awaitable<void> update(session& s, subscription_options o) {
    const auto d = checked(co_await s.broker.async_update_subscription(o.topic, o.name, o.settings, as_result));
    if (s.json) write_line(json_of(d));
}

asio::awaitable<void> describe_one(session& s, subscription_options o) {
    const auto d = checked(co_await s.broker.async_describe_subscription(o.topic, o.name, as_result));
    write_out(s.json ? json_of(d) + "\n" : text_of(d));
}

asio::awaitable<void> list(session& s, subscription_options o) {
    const auto all = checked(co_await s.broker.async_list_subscriptions(o.topic, as_result));
    for (const auto& name : all.names) write_line(s.json ? json_object().add("topic", o.topic).add("name", name).text() : name);
}

asio::awaitable<void> remove(session& s, subscription_options o) {
    checked(co_await s.broker.async_delete_subscription(o.topic, o.name, o.force, as_result));
    if (s.json) write_line(json_object().add("topic", o.topic).add("name", o.name).add("deleted", true).text());
}

/// earliest, latest, or a sequence.
start_position parse_start(const std::string& text) {
    start_position start;
    if (text == "earliest") return start;
    if (text == "latest") {
        start.from = start_position::kind::latest;
        return start;
    }
    const auto* end = text.data() + text.size();
    if (const auto [rest, bad] = std::from_chars(text.data(), end, start.at.value); bad == std::errc{} && rest == end) {
        start.from = start_position::kind::sequence;
        return start;
    }
    throw CLI::ValidationError("--from", "'" + text + "' is not earliest, latest or a sequence");
}

/// MIN..MAX, or one duration for both.
void take_backoff(client::subscription_settings& settings, const std::string& text) {
    const auto dots = text.find("..");
    const auto least = parse_duration(text.substr(0, dots));
    const auto most = dots == std::string::npos ? least : parse_duration(text.substr(dots + 2));
    if (!least || !most) throw CLI::ValidationError("--backoff", "'" + text + "' is not MIN..MAX such as 1s..5m");
    settings.backoff_min = least.value();
    settings.backoff_max = most.value();
}

void add_settings(CLI::App& app, const std::shared_ptr<subscription_options>& o) {
    add_duration(app, "--visibility-timeout", [o](auto t) { o->settings.visibility_timeout = t; }, "length of a lease");
    app.add_option("--max-deliveries", o->settings.max_deliveries, "a message that failed so often is exhausted; 0: no limit");
    app.add_option_function<std::string>("--backoff", [o](const std::string& text) { take_backoff(o->settings, text); },
                                         "pause after a failure; doubles with each, from MIN up to MAX")->type_name("MIN..MAX");
    app.add_option_function<std::string>("--dead-letter", [o](const std::string& text) { o->settings.dead_letter = text; }, "topic that exhausted messages move to; '': they are parked")->type_name("TOPIC");
}

using action = asio::awaitable<void> (*)(session&, subscription_options);

CLI::App& add(CLI::App& group, const char* name, const char* help, command& chosen, const std::shared_ptr<subscription_options>& o, action run) {
    auto& app = *group.add_subcommand(name, help);
    app.add_option("TOPIC", o->topic, "the topic")->required();
    app.callback([&chosen, o, run] { chosen = [o, run](session& s) { return run(s, *o); }; });
    return app;
}

CLI::App& add_named(CLI::App& group, const char* name, const char* help, command& chosen, const std::shared_ptr<subscription_options>& o, action run) {
    auto& app = add(group, name, help, chosen, o, run);
    app.add_option("NAME", o->name, "the subscription")->required();
    return app;
}

}  // namespace

void add_subscription_commands(CLI::App& app, command& chosen) {
    auto& group = *app.add_subcommand("subscription", "Create, look at and remove subscriptions");
    group.require_subcommand(1);
    const auto o = std::make_shared<subscription_options>();
    auto& creating = add_named(group, "create", "Create a subscription", chosen, o, create);
    creating.add_option_function<std::string>("--from", [o](const std::string& text) { o->start = parse_start(text); },
                                              "earliest (default), latest, or a sequence")->type_name("WHERE");
    add_settings(creating, o);
    add_settings(add_named(group, "update", "Change a subscription; what is not given stays", chosen, o, update), o);
    add_named(group, "describe", "Settings and progress of a subscription", chosen, o, describe_one);
    add_named(group, "delete", "Delete a subscription and its progress", chosen, o, remove)
        .add_flag("--force", o->force, "even while consumers are attached");
    add(group, "list", "Names of a topic's subscriptions", chosen, o, list);
}

}  // namespace millrace::cli
