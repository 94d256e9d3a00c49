// The command line: reads flags and environment, opens one connection, runs one command.
// Exit codes: 0 done, 1 refused or failed with one line on stderr (an object with --json), 2 usage.
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "client/cli/command.hpp"
#include "client/cli/json.hpp"

namespace millrace::cli {
namespace {

struct general_options {
    std::string server = "127.0.0.1:7070";
    std::string token;
    std::string token_file;
    bool json = false;
};

void add_general_options(CLI::App& app, general_options& o) {
    app.add_option("--server", o.server, "HOST:PORT of the broker")->envname("MILLRACE_SERVER")->capture_default_str();
    app.add_option("--token", o.token, "who you are to a broker that asks; others see it in the list of processes")->envname("MILLRACE_TOKEN");
    app.add_option("--token-file", o.token_file, "a file with the token, which is read instead")->type_name("FILE");
    app.add_flag("--json", o.json, "one JSON object per line; a refusal is one on stderr: {\"error\":…,\"message\":…}");
}

asio::awaitable<void> connect_and_run(session& s, const command& chosen) {
    checked(co_await s.broker.async_connect(as_result));
    co_await chosen.run(s);
    co_await s.broker.async_close(as_result);
}

/// The first signal asks the command to end, a second one, or one that the command does not take, ends the program.
void watch_signals(asio::signal_set& signals, session& s) {
    signals.async_wait([&](const boost::system::error_code& canceled, int signal) {
        if (canceled) return;
        const auto interrupt = std::exchange(s.on_interrupt, nullptr);
        if (!interrupt) {
            std::signal(signal, SIG_DFL);
            std::raise(signal);
        }
        interrupt();
        watch_signals(signals, s);
    });
}

int complain(const general_options& o, const failure& f) {
    const auto line = o.json ? json_object().add("error", f.code.empty() ? "failed" : f.code.c_str()).add("message", f.what).text()
                             : "millrace: " + (f.code.empty() ? "" : f.code + ": ") + f.what;
    std::fprintf(stderr, "%s\n", line.c_str());
    return 1;
}

int run_alone(const general_options& o, const command& chosen) {
    try {
        chosen.alone();
        return 0;
    } catch (const failure& f) {
        return complain(o, f);
    }
}

int run(const general_options& o, const command& chosen) {
    asio::io_context context(1);
    client::connection_settings settings;
    settings.server = chosen.server.empty() ? o.server : chosen.server;
    settings.connect_timeout = chosen.patience;
    const bool has_token = !chosen.token.empty() || !chosen.token_file.empty();
    settings.token = has_token ? chosen.token : o.token;
    settings.token_file = has_token ? chosen.token_file : o.token_file;
    settings.name = "millrace";
    settings.reconnect.enabled = chosen.comes_back;
    client::connection broker(context.get_executor(), settings);
    session s{broker, o.json, nullptr};
    std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a failed write, after which nothing is acked
    asio::signal_set signals(context, SIGINT, SIGTERM);
    watch_signals(signals, s);
    std::optional<failure> failed;
    asio::co_spawn(context, connect_and_run(s, chosen), [&](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const failure& f) {
            failed = f;
        } catch (const std::exception& e) {
            failed = failure{e.what()};
        }
        context.stop();
    });
    context.run();
    return failed ? complain(o, *failed) : 0;
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) {
    using namespace millrace::cli;
    CLI::App app("Millrace, a durable message queue: the command line");
    app.set_version_flag("--version", "millrace " MILLRACE_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    general_options options;
    command chosen;
    add_general_options(app, options);
    add_topic_commands(app, chosen);
    add_subscription_commands(app, chosen);
    add_publish_command(app, chosen);
    add_consume_command(app, chosen);
    add_peek_command(app, chosen);
    add_check_command(app, chosen, options.json);
    add_completion_commands(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    return chosen.alone ? run_alone(options, chosen) : run(options, chosen);
}
