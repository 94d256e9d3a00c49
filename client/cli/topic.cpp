// millrace topic create|list|describe|update|delete|purge
#include <memory>

#include "client/cli/command.hpp"
#include "client/cli/json.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

using client::topic_description;
using client::topic_settings;

struct topic_options {
    std::string name;
    topic_settings settings;
    bool force = false;
};

std::string json_of(const topic_description& t) {
    json_object o;
    o.add("name", t.name).add("id", t.id).add("created_at", std::string_view(format_time(t.created_at)));
    if (t.settings.keep_age) o.add("keep_age_ms", t.settings.keep_age->count());
    if (t.settings.keep_bytes) o.add("keep_bytes", *t.settings.keep_bytes);
    if (t.settings.max_age) o.add("max_age_ms", t.settings.max_age->count());
    if (t.settings.max_backlog) o.add("max_backlog_bytes", *t.settings.max_backlog);
    if (t.settings.on_limit) o.add("on_limit", *t.settings.on_limit == client::limit_policy::refuse ? "refuse" : "expire");
    std::string partitions = "[";
    for (const auto& p : t.partitions) {
        if (partitions.size() > 1) partitions += ',';
        partitions += json_object().add("start", p.start.value).add("low", p.low.value).add("high", p.high.value)
                          .add("bytes", p.bytes).add("backlog_bytes", p.backlog).text();
    }
    o.add_raw("partitions", partitions + "]");
    std::string subscriptions = "[";
    for (const auto& s : t.subscriptions) subscriptions += (subscriptions.size() > 1 ? "," : "") + json_string(s);
    return o.add_raw("subscriptions", subscriptions + "]").text();
}

std::string text_of(const topic_description& t) {
    std::string out = "topic          " + t.name + "\ncreated        " + format_time(t.created_at) + "\n";
    const auto& s = t.settings;
    if (s.keep_age && s.keep_age->count() > 0) out += "keep           " + format_duration(*s.keep_age) + "\n";
    if (s.keep_bytes && *s.keep_bytes > 0) out += "keep           " + format_size(*s.keep_bytes) + "\n";
    if (s.max_age && s.max_age->count() > 0) out += "max-age        " + format_duration(*s.max_age) + "\n";
    if (s.max_backlog && *s.max_backlog > 0) out += "max-backlog    " + format_size(*s.max_backlog) + "\n";
    for (const auto& name : t.subscriptions) out += "subscription   " + name + "\n";
    for (std::size_t i = 0; i < t.partitions.size(); ++i) {
        const auto& p = t.partitions[i];
        out += "partition " + std::to_string(i) + "    start " + std::to_string(p.start.value) + " low " + std::to_string(p.low.value) + " high " +
               std::to_string(p.high.value) + " bytes " + std::to_string(p.bytes) + " backlog " + std::to_string(p.backlog) + "\n";
    }
    return out;
}

asio::awaitable<void> create(session& s, topic_options o) {
    const auto t = checked(co_await s.broker.async_create_topic(o.name, o.settings, as_result));
    if (s.json) write_line(json_of(t));
}

asio::awaitable<void> update(session& s, topic_options o) {
    const auto t = checked(co_await s.broker.async_update_topic(o.name, o.settings, as_result));
    if (s.json) write_line(json_of(t));
}

asio::awaitable<void> describe_one(session& s, topic_options o) {
    const auto t = checked(co_await s.broker.async_describe_topic(o.name, as_result));
    write_out(s.json ? json_of(t) + "\n" : text_of(t));
}

asio::awaitable<void> list(session& s) {
    client::name_list page;
    do {
        const auto after = page.names.empty() ? std::string() : page.names.back();
        page = checked(co_await s.broker.async_list_topics(after, as_result));
        for (const auto& name : page.names) write_line(s.json ? json_object().add("name", name).text() : name);
    } while (page.more && !page.names.empty());
}

asio::awaitable<void> remove(session& s, topic_options o) {
    checked(co_await s.broker.async_delete_topic(o.name, o.force, as_result));
    if (s.json) write_line(json_object().add("topic", o.name).add("deleted", true).text());
}

asio::awaitable<void> purge(session& s, topic_options o) {
    checked(co_await s.broker.async_purge_topic(o.name, as_result));
    if (s.json) write_line(json_object().add("topic", o.name).add("purged", true).text());
}

/// AGE or BYTES; "0" is neither kept by age nor by size.
void take_keep(topic_settings& settings, const std::string& text) {
    const auto age = parse_duration(text);
    const auto bytes = parse_size(text);
    if (!age && !bytes) throw CLI::ValidationError("--keep", "'" + text + "' is neither a duration such as 24h nor a size such as 10GiB");
    if (age) settings.keep_age = age.value();
    if (bytes) settings.keep_bytes = bytes.value();
}

void add_settings(CLI::App& app, const std::shared_ptr<topic_options>& o) {
    app.add_option("--partitions", o->settings.partitions, "independently ordered parts; they only grow");
    app.add_option_function<std::string>("--keep", [o](const std::string& text) { take_keep(o->settings, text); },
                                         "how long, or how many bytes per partition, settled messages stay for replay")->type_name("AGE|BYTES");
    add_duration(app, "--max-age", [o](auto age) { o->settings.max_age = age; }, "how long a message may stay unsettled; 0: no limit");
    add_size(app, "--max-backlog", [o](auto bytes) { o->settings.max_backlog = bytes; }, "bytes of unsettled messages per partition; 0: no limit");
}

using action = asio::awaitable<void> (*)(session&, topic_options);

CLI::App& add(CLI::App& group, const char* name, const char* help, command& chosen, const std::shared_ptr<topic_options>& o, action run) {
    auto& app = *group.add_subcommand(name, help);
    app.add_option("NAME", o->name, "the topic")->required();
    app.callback([&chosen, o, run] { chosen = [o, run](session& s) { return run(s, *o); }; });
    return app;
}

}  // namespace

void add_topic_commands(CLI::App& app, command& chosen) {
    auto& group = *app.add_subcommand("topic", "Create, look at and remove topics");
    group.require_subcommand(1);
    const auto o = std::make_shared<topic_options>();
    add_settings(add(group, "create", "Create a topic", chosen, o, create), o);
    add_settings(add(group, "update", "Change a topic; what is not given stays", chosen, o, update), o);
    add(group, "describe", "Settings, partitions and subscriptions of a topic", chosen, o, describe_one);
    add(group, "delete", "Delete a topic and its messages", chosen, o, remove).add_flag("--force", o->force, "even while consumers are attached");
    add(group, "purge", "Skip every ready message of every subscription", chosen, o, purge);
    group.add_subcommand("list", "Names of all topics")->callback([&chosen] { chosen = [](session& s) { return list(s); }; });
}

}  // namespace millrace::cli
