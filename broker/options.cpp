#include "broker/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <iostream>

namespace millrace {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// As they are written, before they are understood.
struct option_texts {
    std::string listen = "127.0.0.1:7070";
    std::string admin = "127.0.0.1:7080";
    std::string durability = "disk";
    std::string log_level = "info";
    bool insecure = false;
};

error refused(const std::string& option, const std::string& value, const std::string& what_to_do) {
    return {errc::invalid_argument, option + " is '" + value + "': " + what_to_do};
}

result<tcp::endpoint> parse_endpoint(const std::string& option, const std::string& text, bool others_may_come) {
    const auto colon = text.rfind(':');
    const auto usage = refused(option, text, "give HOST:PORT with a numeric address, as 127.0.0.1:7070 or [::1]:0");
    if (colon == std::string::npos || colon == 0) return usage;
    auto host = text.substr(0, colon);
    if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (host == "localhost") host = "127.0.0.1";
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(host, ec);
    const auto digits = text.substr(colon + 1);
    if (ec || digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos) return usage;
    const auto port = std::stoul(digits);
    if (port > 65535) return usage;
    if (!address.is_loopback() && !others_may_come)
        return error{errc::invalid_argument, option + " " + text + " is reachable from other machines and this broker asks nobody who they are: "
                                             "give it tokens with --auth-file, listen on a loopback address, or say --insecure"};
    return tcp::endpoint{address, static_cast<std::uint16_t>(port)};
}

result<durability> parse_durability(const std::string& text) {
    for (const auto level : {durability::memory, durability::buffered, durability::disk})
        if (text == name_of(level)) return level;
    return refused("--durability", text, "give disk, buffered or memory");
}

result<spdlog::level::level_enum> parse_log_level(const std::string& text) {
    const auto level = spdlog::level::from_str(text);
    if (level == spdlog::level::off && text != "off") return refused("--log-level", text, "give trace, debug, info, warn or error");
    return level;
}

void add_options(CLI::App& app, options& o, option_texts& texts) {
    app.add_option("--store", o.store, "rocksdb:DIR, or memory: (lost when the broker ends)");
    app.add_option("--listen", texts.listen, "HOST:PORT for clients; port 0 takes a free one");
    app.add_option("--admin", texts.admin, "HOST:PORT for metrics, health and JSON over HTTP; none switches it off");
    app.add_option("--durability", texts.durability, "what an answer promises: disk, buffered, memory");
    app.add_option("--auth-file", o.auth_file, "lines of NAME RIGHTS TOKEN: clients need a token, and its rights; read again on SIGHUP");
    app.add_option("--log-level", texts.log_level, "trace, debug, info, warn, error");
    app.add_option("--max-connections", o.max_connections, "clients at a time; one more is refused")->check(CLI::Range(1, 1'000'000));
    app.add_flag("--salvage", o.salvage, "open a store whose log is damaged, without what cannot be read, and name that");
    app.add_flag("--insecure", texts.insecure, "listen on an address that other machines reach without asking them for tokens");
}

/// One name for each: --max-connections is MILLRACE_MAX_CONNECTIONS.
void name_alike(CLI::App& app) {
    for (auto* option : app.get_options()) {
        auto name = option->get_single_name();
        if (name == "help" || name == "version") continue;
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
        option->envname("MILLRACE_" + name);
        if (option->get_expected_min() > 0) option->capture_default_str();
    }
}

error understand(const option_texts& texts, options& o) {
    const auto others_may_come = texts.insecure || !o.auth_file.empty();
    auto listen = parse_endpoint("--listen", texts.listen, others_may_come);
    if (!listen) return listen.failure();
    if (texts.admin != "none" && !texts.admin.empty()) {
        const auto admin = parse_endpoint("--admin", texts.admin, others_may_come);
        if (!admin) return admin.failure();
        o.admin = admin.value();
    }
    const auto level = parse_durability(texts.durability);
    if (!level) return level.failure();
    const auto log_level = parse_log_level(texts.log_level);
    if (!log_level) return log_level.failure();
    o.listen = listen.value();
    o.durability = level.value();
    o.log_level = log_level.value();
    return {};
}

}  // namespace

result<std::variant<options, nothing_to_do>> read_options(int argc, char** argv) {
    options o;
    option_texts texts;
    CLI::App app("Millrace, a durable message queue broker", "millraced");
    app.set_version_flag("--version", "millraced " MILLRACE_VERSION);
    add_options(app, o, texts);
    name_alike(app);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() != 0) return error{errc::invalid_argument, std::string(e.what()) + " (millraced --help shows every option)"};
        app.exit(e);
        return std::variant<options, nothing_to_do>(nothing_to_do{});
    }
    if (auto why = understand(texts, o)) return why;
    return std::variant<options, nothing_to_do>(std::move(o));
}

}  // namespace millrace
