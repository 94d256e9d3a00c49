// millrace consume: payload and newline per message to stdout, acked after it is written; or a command run for each message.
#include <algorithm>
#include <memory>
#include <optional>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "client/cli/child_process.hpp"
#include "client/cli/command.hpp"
#include "client/cli/json.hpp"
#include "client/cli/progress_line.hpp"
#include "millrace/worker.hpp"

namespace millrace::cli {
namespace {

struct consume_command {
    std::string topic;
    std::string subscription;
    std::optional<std::uint64_t> max;
    std::uint32_t credit = 1'000;
    std::optional<std::chrono::milliseconds> timeout;
    bool no_ack = false;
    std::string exec;
};

/// Closes the consumer when nothing comes for a while, or on a signal: the receive under way then ends.
class stopping {
public:
    stopping(client::consumer& consumer, asio::any_io_executor executor, std::optional<std::chrono::milliseconds> timeout)
        : consumer_(consumer), timer_(std::move(executor)), timeout_(timeout) {
        restart();
    }

    void restart() {
        if (!timeout_ || stopped_) return;
        timer_.expires_after(*timeout_);
        timer_.async_wait([this](const boost::system::error_code& canceled) {
            if (!canceled) stop();
        });
    }

    void stop() {
        if (std::exchange(stopped_, true)) return;
        consumer_.async_close([](boost::system::error_code, client::done) {});
    }

    bool stopped() const noexcept { return stopped_; }
    void cancel() { timer_.cancel(); }

private:
    client::consumer& consumer_;
    asio::steady_timer timer_;
    std::optional<std::chrono::milliseconds> timeout_;
    bool stopped_ = false;
};

/// Only what is written is acked: a full disk or a closed pipe loses nothing.
void print(const session& s, const consume_command& o, client::consumer& consumer, const client::delivery* begin, const client::delivery* end) {
    std::string text;
    for (const auto* d = begin; d != end; ++d) text += (s.json ? json_of(*d) : d->message.payload) + "\n";
    write_out(text);
    for (const auto* d = begin; d != end; ++d) {
        if (o.no_ack)
            consumer.set_aside(*d);
        else
            consumer.ack(*d);
    }
}

asio::awaitable<void> consume_all(session& s, consume_command o, client::consumer& consumer, stopping& stop) {
    progress_line progress("consumed", o.max);
    if (prints_to_terminal()) progress.hide();
    std::uint64_t shown = 0;
    while (!stop.stopped() && (!o.max || shown < *o.max)) {
        auto [failed, batch] = co_await consumer.async_receive(as_result);
        if (failed && stop.stopped()) co_return;
        if (failed) throw failure_of(failed, batch.refusal);
        stop.restart();
        const auto& all = batch.deliveries;
        const auto count = o.max ? std::min<std::uint64_t>(all.size(), *o.max - shown) : all.size();
        print(s, o, consumer, all.data(), all.data() + count);
        shown += count;
        progress.show(shown);
    }
}

asio::awaitable<void> run(session& s, consume_command o) {
    if (o.max && *o.max < o.credit) o.credit = static_cast<std::uint32_t>(std::max<std::uint64_t>(*o.max, 1));
    client::subscribe_options options;
    options.credit_messages = o.credit;
    options.name = "millrace consume";
    auto consumer = checked(co_await s.broker.async_subscribe(o.topic, o.subscription, options, as_result));
    stopping stop(consumer, s.broker.get_executor(), o.timeout);
    s.on_interrupt = [&stop] { stop.stop(); };
    co_await consume_all(s, o, consumer, stop);
    s.on_interrupt = nullptr;
    stop.cancel();
    const auto settled = checked(co_await consumer.async_settle(as_result));
    std::uint64_t lost = 0;
    for (const auto& range : settled.lost) lost += range.last - range.first + 1;
    if (lost > 0) throw failure_of(error{errc::lease_lost, std::to_string(lost) + " messages were given to somebody else before their ack came; they are processed twice"});
}

/// One message at a time: --max counts those that were given to the command.
asio::awaitable<void> run_for_each(session& s, consume_command o) {
    const auto executor = s.broker.get_executor();
    asio::steady_timer idle(executor);
    std::uint64_t begun = 0;  // on the worker's one thread, like everything in its handler
    client::worker* running = nullptr;
    const auto rest = [&] {
        if (!o.timeout) return;
        idle.expires_after(*o.timeout);
        idle.async_wait([&](const boost::system::error_code& canceled) {
            if (!canceled) running->drain();
        });
    };
    client::worker_options options;
    options.name = "millrace consume --exec";
    options.credit_messages = o.max && *o.max == 1 ? 1 : 2;
    client::worker worker(s.broker, o.topic, o.subscription, options, [&](const client::delivery& d) {
        asio::post(executor, [&] { idle.cancel(); });
        if (o.max && ++begun == *o.max) running->drain();
        const auto why = run_command(o.exec, d.message.payload);
        asio::post(executor, rest);
        return why.empty() ? client::outcome::ack() : client::outcome::nack(why);
    });
    running = &worker;
    s.on_interrupt = [&worker] { worker.drain(); };
    rest();
    const auto report = checked(co_await worker.async_run(as_result));
    s.on_interrupt = nullptr;
    idle.cancel();
    co_await asio::post(executor, asio::use_awaitable);
    if (report.lost > 0)
        throw failure_of(error{errc::lease_lost, std::to_string(report.lost) + " messages were given to somebody else before their outcome came"});
}

}  // namespace

void add_consume_command(CLI::App& app, command& chosen) {
    const auto o = std::make_shared<consume_command>();
    auto& consuming = *app.add_subcommand("consume", "Print messages as they come and ack each after it is written");
    consuming.add_option("TOPIC", o->topic, "the topic")->required();
    consuming.add_option("SUBSCRIPTION", o->subscription, "the subscription")->required();
    consuming.add_option("--max", o->max, "end after so many messages")->check(CLI::NonNegativeNumber);
    consuming.add_option("--credit", o->credit, "messages that may be on their way or unacked")->capture_default_str()->check(CLI::PositiveNumber);
    add_duration(consuming, "--timeout", [o](auto t) { o->timeout = t; }, "end when none came for so long");
    auto* exec = consuming.add_option("--exec", o->exec, "a command of the shell to run for each message, with the payload on its standard input: "
                                                         "exit status 0 acks the message, any other fails it")->type_name("CMD");
    consuming.add_flag("--no-ack", o->no_ack, "leave the messages to come again when their leases end")->excludes(exec);
    consuming.callback([&chosen, o] {
        chosen = [o](session& s) { return o->exec.empty() ? run(s, *o) : run_for_each(s, *o); };
        chosen.comes_back = !o->exec.empty();
    });
}

}  // namespace millrace::cli
