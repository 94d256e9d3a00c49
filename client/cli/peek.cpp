// millrace peek: looks at messages without leasing them.
#include <algorithm>
#include <limits>
#include <memory>

#include "client/cli/command.hpp"
#include "client/cli/json.hpp"

namespace millrace::cli {
namespace {

struct peek_command {
    std::string topic;
    std::uint64_t from = 0;
    std::uint64_t max = 100;
};

/// Returns how many were printed, at most `max`.
asio::awaitable<std::uint64_t> peek_partition(session& s, std::string topic, std::uint32_t partition, sequence from, std::uint64_t max) {
    std::uint64_t shown = 0;
    while (shown < max) {
        client::peek_options options{partition, from, static_cast<std::uint32_t>(std::min<std::uint64_t>(max - shown, 1'000))};
        const auto page = checked(co_await s.broker.async_peek(topic, options, as_result));
        if (page.deliveries.empty()) break;
        std::string text;
        for (const auto& d : page.deliveries) text += (s.json ? json_of(d) : d.message.payload) + "\n";
        write_out(text);
        shown += page.deliveries.size();
        from = page.deliveries.back().sequence + 1;
    }
    co_return shown;
}

asio::awaitable<void> run(session& s, peek_command o) {
    const auto topic = checked(co_await s.broker.async_describe_topic(o.topic, as_result));
    for (std::uint32_t i = 0; i < topic.partitions.size() && o.max > 0; ++i)
        o.max -= co_await peek_partition(s, o.topic, i, {o.from}, o.max);
}

}  // namespace

void add_peek_command(CLI::App& app, command& chosen) {
    const auto o = std::make_shared<peek_command>();
    auto& peeking = *app.add_subcommand("peek", "Print messages without taking them: one partition after the other");
    peeking.add_option("TOPIC", o->topic, "the topic")->required();
    peeking.add_option("--from", o->from, "first sequence in each partition")->type_name("SEQ")->check(CLI::NonNegativeNumber);
    peeking.add_option("--max", o->max, "messages at most")->capture_default_str()->check(CLI::NonNegativeNumber);
    peeking.callback([&chosen, o] { chosen = [o](session& s) { return run(s, *o); }; });
}

}  // namespace millrace::cli
