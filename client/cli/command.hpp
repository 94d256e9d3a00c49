// What every command of the program is made of: a coroutine on one connection that prints, or throws a failure.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <tuple>

#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "millrace/client.hpp"

namespace millrace::cli {

namespace asio = boost::asio;

/// Ends the program with 1 and one line on stderr: "no_such_topic: there is no topic 'photos'", or an object with --json.
struct failure {
    std::string what;
    std::string code{};  // an errc's name; "" for what the system or this program refused
};

inline constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// With the system's words for codes that are not ours.
failure failure_of(const boost::system::error_code& failed, const std::string& refusal);
failure failure_of(const error& refused);

template <class T>
const std::string& refusal_of(const T& result) { return result.refusal; }
inline const std::string& refusal_of(const client::consumer& result) { return result.refusal(); }

/// The result, or a failure with the broker's words.
template <class T>
T checked(std::tuple<boost::system::error_code, T> outcome) {
    auto& [failed, result] = outcome;
    if (failed) throw failure_of(failed, refusal_of(result));
    return std::move(result);
}

struct session {
    client::connection& broker;
    bool json = false;
    std::function<void()> on_interrupt;  // SIGINT or SIGTERM; without one the program ends at once
};

struct command {
    std::function<asio::awaitable<void>(session&)> run;
    std::function<void()> alone;  // instead: without a broker
    bool comes_back = false;  // goes on when the connection is lost and back; else it fails and says so at once
    std::string server;       // to ask instead of --server, and so on
    std::string token;
    std::string token_file;
    std::chrono::milliseconds patience{5'000};  // with connecting

    command() = default;
    template <class Run>
        requires(!std::is_same_v<std::decay_t<Run>, command>)
    command(Run what) : run(std::move(what)) {}
};

/// Writes all of it to stdout, unbuffered. Throws a failure: what is not written must not be acked.
void write_out(std::string_view text);
void write_line(std::string line);

void add_topic_commands(CLI::App& app, command& chosen);
void add_subscription_commands(CLI::App& app, command& chosen);
void add_publish_command(CLI::App& app, command& chosen);
void add_consume_command(CLI::App& app, command& chosen);
void add_peek_command(CLI::App& app, command& chosen);
void add_check_command(CLI::App& app, command& chosen, const bool& json);
void add_completion_commands(CLI::App& app, command& chosen);

/// Options whose value is a duration or a size; a value that is neither is a usage error.
CLI::Option* add_duration(CLI::App& app, const std::string& name, std::function<void(std::chrono::milliseconds)> take, const std::string& help);
CLI::Option* add_size(CLI::App& app, const std::string& name, std::function<void(std::uint64_t)> take, const std::string& help);

}  // namespace millrace::cli
