#include "broker/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>

#include "broker/config_file.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// As they are written, before they are understood.
struct option_texts {
    std::string config;
    std::string store = "rocksdb:millrace-data";
    std::string listen = "127.0.0.1:7070";
    std::string admin = "127.0.0.1:7080";
    std::string durability = "disk";
    std::string log_level = "info";
    std::string log_format = "text";
    std::string max_connections = "10000";
    std::string shards = "1";
    std::string disk_reserve = "auto";
    std::string scrub_rate = "1MiB";
    std::string stay_awake = "200";
    bool insecure = false;
};

constexpr std::uint32_t shards_max = 64;
constexpr std::uint32_t stay_awake_max = 10'000;  // µs

/// The type in --help of options that stand as numbers in a file.
constexpr const char* number_type = "NUMBER";

/// What each option is called where its value stands, for errors: --listen, MILLRACE_LISTEN, or "millraced.toml, line 3: listen".
class option_places {
public:
    void note(const std::string& option, std::string place) { places_[option] = std::move(place); }
    std::string of(const std::string& option) const {
        const auto found = places_.find(option);
        return found == places_.end() ? "--" + option : found->second;
    }

private:
    std::map<std::string, std::string> places_;
};

error refused(const std::string& place, const std::string& value, const std::string& what_to_do) {
    return {errc::invalid_argument, place + " is '" + value + "': " + what_to_do};
}

// ---- what is said ------------------------------------------------------------------------------------------------------------

void add_options(CLI::App& app, options& o, option_texts& texts) {
    app.add_option("--config", texts.config, "a file with these options, as max-connections = 10000; flags and environment come before it");
    app.add_option("--store", texts.store, "rocksdb:DIR, or memory: (lost when the broker ends)");
    app.add_option("--listen", texts.listen, "HOST:PORT for clients; port 0 takes a free one");
    app.add_option("--admin", texts.admin, "HOST:PORT for metrics, health and JSON over HTTP; none switches it off");
    app.add_option("--durability", texts.durability, "what an answer promises: disk, buffered, memory");
    app.add_option("--auth-file", o.auth_file, "lines of NAME RIGHTS TOKEN: clients need a token, and its rights; read again on SIGHUP");
    app.add_option("--log-level", texts.log_level, "trace, debug, info, warn, error, off");
    app.add_option("--log-format", texts.log_format, "text, or json: an object a line");
    app.add_option("--max-connections", texts.max_connections, "clients at a time; one more is refused")->type_name(number_type);
    app.add_option("--shards", texts.shards, "threads that share the topics and the clients; may change at any start")->type_name(number_type);
    app.add_option("--disk-reserve", texts.disk_reserve,
                   "SIZE that stays free on the disk of the store: below it publishes are refused, acks are not; auto: 1216MiB, on a disk with less than "
                   "eight times that an eighth of it; 0: no limit");
    app.add_option("--scrub-rate", texts.scrub_rate, "SIZE a second of what is stored that is read again, to find damage before a consumer does; 0: none");
    app.add_option("--stay-awake", texts.stay_awake,
                   "microseconds that the next message is looked for before the broker sleeps, while messages come alone and that soon; 0: it sleeps")
        ->type_name(number_type);
    app.add_flag("--salvage", o.salvage, "open a store whose log is damaged, without what cannot be read, and name that");
    app.add_flag("--explain-memory", o.explain_memory, "print what the broker holds in memory at most, and by which setting, and end");
    app.add_flag("--insecure", texts.insecure, "listen on an address that other machines reach without asking them for tokens");
}

bool is_flag(const CLI::Option& option) { return option.get_expected_min() == 0; }

/// The options that environment and file may set, by name. Only the command line asks for words instead of a broker, and a file names no other file.
std::vector<CLI::Option*> settable(CLI::App& app) {
    return app.get_options([](const CLI::Option* option) {
        const auto name = option->get_single_name();
        return name != "help" && name != "version" && name != "explain-memory";
    });
}

/// One name for each: --max-connections is MILLRACE_MAX_CONNECTIONS.
std::string variable_of(const CLI::Option& option) {
    auto name = option.get_single_name();
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
    return "MILLRACE_" + name;
}

void describe(CLI::App& app) {
    for (auto* option : settable(app)) {
        option->description(option->get_description() + " [" + variable_of(*option) + "]");
        if (!is_flag(*option)) option->capture_default_str();
    }
}

/// As if it stood on the command line.
error set(CLI::Option& option, const std::string& value, const std::string& place, option_places& places) {
    const std::initializer_list<std::string_view> yes_or_no{"true", "false", "1", "0", "yes", "no", "on", "off"};
    if (is_flag(option) && std::find(yes_or_no.begin(), yes_or_no.end(), value) == yes_or_no.end()) return refused(place, value, "give true or false");
    places.note(option.get_single_name(), place);
    option.add_result(value);
    option.run_callback();
    return {};
}

error read_environment(CLI::App& app, option_places& places) {
    for (auto* option : settable(app)) {
        const auto variable = variable_of(*option);
        const char* value = std::getenv(variable.c_str());
        if (!value || !*value || option->count() > 0) continue;
        if (auto why = set(*option, value, variable, places)) return why;
    }
    return {};
}

config_value::kind type_in_file(const CLI::Option& option) {
    if (is_flag(option)) return config_value::kind::boolean;
    return option.get_type_name() == number_type ? config_value::kind::number : config_value::kind::text;
}

error unknown_key(CLI::App& app, const std::string& path, const config_value& v) {
    std::string known;
    for (const auto* option : settable(app))
        if (option->get_single_name() != "config") known += (known.empty() ? "" : ", ") + option->get_single_name();
    return {errc::invalid_argument, path + ", line " + std::to_string(v.line) + ": there is no option '" + v.key + "'; there are " + known};
}

error read_file(CLI::App& app, const std::string& path, option_places& places) {
    if (path.empty()) return {};
    const auto values = read_config_file(path);
    if (!values) return {values.failure().code, places.of("config") + " " + values.failure().what};
    for (const auto& v : values.value()) {
        auto* option = app.get_option_no_throw("--" + v.key);
        const auto all = settable(app);
        if (v.key == "config" || std::find(all.begin(), all.end(), option) == all.end()) return unknown_key(app, path, v);
        const auto place = path + ", line " + std::to_string(v.line) + ": " + v.key;
        const auto type = type_in_file(*option);
        if (v.type != type) return refused(place, v.value, std::string("write ") + name_of(type));
        if (option->count() > 0) continue;  // a flag or the environment has said it
        if (auto why = set(*option, v.value, place, places)) return why;
    }
    return {};
}

// ---- what it means -----------------------------------------------------------------------------------------------------------

result<tcp::endpoint> parse_endpoint(const std::string& place, const std::string& text, bool others_may_come) {
    const auto colon = text.rfind(':');
    const auto usage = refused(place, text, "give HOST:PORT with a numeric address, as 127.0.0.1:7070 or [::1]:0");
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
        return error{errc::invalid_argument, place + " " + text + " is reachable from other machines and this broker asks nobody who they are: "
                                             "give it tokens with --auth-file, listen on a loopback address, or say --insecure"};
    return tcp::endpoint{address, static_cast<std::uint16_t>(port)};
}

result<std::string> parse_store(const std::string& place, const std::string& text) {
    constexpr std::string_view scheme = "rocksdb:";
    if (text == "memory:" || (text.starts_with(scheme) && text.size() > scheme.size())) return text;
    return refused(place, text, "give rocksdb:DIR or memory:");
}

result<durability> parse_durability(const std::string& place, const std::string& text) {
    for (const auto level : {durability::memory, durability::buffered, durability::disk})
        if (text == name_of(level)) return level;
    return refused(place, text, "give disk, buffered or memory");
}

result<spdlog::level::level_enum> parse_log_level(const std::string& place, const std::string& text) {
    const auto level = spdlog::level::from_str(text);
    if (level == spdlog::level::off && text != "off") return refused(place, text, "give trace, debug, info, warn, error or off");
    return level;
}

result<log_format> parse_log_format(const std::string& place, const std::string& text) {
    if (text == "text") return log_format::text;
    if (text == "json") return log_format::json;
    return refused(place, text, "give text or json");
}

result<std::uint32_t> parse_number(const std::string& place, const std::string& text, std::uint32_t least, std::uint32_t most) {
    std::uint32_t number = 0;
    const auto* end = text.data() + text.size();
    const auto [rest, failed] = std::from_chars(text.data(), end, number);
    if (failed != std::errc{} || rest != end || number < least || number > most)
        return refused(place, text, "give a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return number;
}

result<std::uint64_t> parse_bytes(const std::string& place, const std::string& text, const std::string& what_may_stand) {
    const auto size = parse_size(text);
    if (!size) return refused(place, text, what_may_stand);
    return size.value();
}

result<std::optional<std::uint64_t>> parse_disk_reserve(const std::string& place, const std::string& text) {
    if (text == "auto") return std::optional<std::uint64_t>{};
    const auto size = parse_bytes(place, text, "give a size as 512MiB, auto, or 0");
    if (!size) return size.failure();
    return std::optional(size.value());
}

/// Takes the value, or says why there is none.
template <class T>
error take(result<T> parsed, T& out) {
    if (!parsed) return parsed.failure();
    out = std::move(parsed.value());
    return {};
}

error understand(const option_texts& texts, const option_places& places, options& o) {
    if (auto why = take(parse_store(places.of("store"), texts.store), o.store)) return why;
    const bool others_may_come = texts.insecure || !o.auth_file.empty();
    if (auto why = take(parse_endpoint(places.of("listen"), texts.listen, others_may_come), o.listen)) return why;
    if (texts.admin != "none" && !texts.admin.empty())
        if (auto why = take(parse_endpoint(places.of("admin"), texts.admin, others_may_come), o.admin.emplace())) return why;
    if (auto why = take(parse_durability(places.of("durability"), texts.durability), o.durability)) return why;
    if (auto why = take(parse_log_level(places.of("log-level"), texts.log_level), o.log_level)) return why;
    if (auto why = take(parse_log_format(places.of("log-format"), texts.log_format), o.log_as)) return why;
    if (auto why = take(parse_disk_reserve(places.of("disk-reserve"), texts.disk_reserve), o.disk_reserve)) return why;
    if (auto why = take(parse_bytes(places.of("scrub-rate"), texts.scrub_rate, "give a size for each second as 1MiB, or 0"), o.scrub_rate)) return why;
    if (auto why = take(parse_number(places.of("shards"), texts.shards, 1, shards_max), o.shards)) return why;
    std::uint32_t stay_awake = 0;
    if (auto why = take(parse_number(places.of("stay-awake"), texts.stay_awake, 0, stay_awake_max), stay_awake)) return why;
    o.stay_awake = std::chrono::microseconds(stay_awake);
    return take(parse_number(places.of("max-connections"), texts.max_connections, 1, 1'000'000), o.max_connections);
}

}  // namespace

result<std::variant<options, nothing_to_do>> read_options(int argc, char** argv) {
    options o;
    option_texts texts;
    option_places places;
    CLI::App app("Millrace, a durable message queue broker", "millraced");
    app.set_version_flag("--version", "millraced " MILLRACE_VERSION);
    add_options(app, o, texts);
    describe(app);
    try {
        app.parse(argc, argv);
        if (auto why = read_environment(app, places)) return why;
        if (auto why = read_file(app, texts.config, places)) return why;
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() != 0) return error{errc::invalid_argument, std::string(e.what()) + " (millraced --help shows every option)"};
        app.exit(e);
        return std::variant<options, nothing_to_do>(nothing_to_do{});
    }
    if (auto why = understand(texts, places, o)) return why;
    return std::variant<options, nothing_to_do>(std::move(o));
}

}  // namespace millrace
