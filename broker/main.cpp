// millraced: the broker. This file alone names the system clock, the environment and the disk; it builds the parts in order and runs them.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "broker/local_file_system.hpp"
#include "broker/server/broker.hpp"
#include "broker/storage/memory_store.hpp"
#include "broker/storage/rocksdb_store.hpp"

namespace {

using namespace millrace;
namespace asio = boost::asio;
using asio::ip::tcp;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_store_failed = 70;

struct options {
    std::string store = "rocksdb:millrace-data";
    std::string listen = "127.0.0.1:7070";
    std::string durability = "disk";
    std::string log_level = "info";
    std::uint32_t max_connections = 10'000;
    bool insecure = false;
    bool salvage = false;
};

int complain(int code, const error& why) {
    std::cerr << "millraced: " << to_string(why) << '\n';
    return code;
}

result<tcp::endpoint> parse_endpoint(const std::string& text, bool insecure) {
    const auto colon = text.rfind(':');
    const error usage{errc::invalid_argument, "--listen is '" + text + "': give HOST:PORT with a numeric address, as 127.0.0.1:7070 or [::1]:0"};
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
    if (!address.is_loopback() && !insecure)
        return error{errc::invalid_argument, "--listen " + text + " is reachable from other machines and this broker asks nobody who they are: "
                                             "listen on a loopback address, or say --insecure"};
    return tcp::endpoint{address, static_cast<std::uint16_t>(port)};
}

result<durability> parse_durability(const std::string& text) {
    for (const auto level : {durability::memory, durability::buffered, durability::disk})
        if (text == name_of(level)) return level;
    return error{errc::invalid_argument, "--durability is '" + text + "': give disk, buffered or memory"};
}

result<std::unique_ptr<storage::store>> open_store(const options& o) {
    const auto level = parse_durability(o.durability);
    if (!level) return level.failure();
    if (o.store == "memory:") return storage::make_memory_store();
    constexpr std::string_view scheme = "rocksdb:";
    if (!o.store.starts_with(scheme) || o.store.size() == scheme.size())
        return error{errc::invalid_argument, "--store is '" + o.store + "': give rocksdb:DIR or memory:"};
    storage::rocksdb_options rocksdb;
    rocksdb.directory = o.store.substr(scheme.size());
    rocksdb.level = level.value();
    rocksdb.file_system = local_file_system();
    rocksdb.salvage = o.salvage;
    rocksdb.tell = [](const std::string& line) { spdlog::error("{}", line); };
    if (!storage::rocksdb_crc32c_is_in_effect())
        return error{errc::storage_failure, "RocksDB does not use this program's CRC-32C, or it is wrong: the build is broken"};
    return storage::open_rocksdb_store(rocksdb);
}

/// Everything the core knows at start, read in pages.
result<core::shard> recover_shard(storage::store& store) {
    constexpr std::size_t page = 4096;
    std::vector<core::row> rows;
    for (auto range = core::start_rows();;) {
        auto found = store.scan(range, page);
        if (!found) return found.failure();
        const auto count = found.value().size();
        for (auto& r : found.value()) rows.push_back(std::move(r));
        if (count < page) break;
        range.begin = rows.back().key + '\0';
    }
    core::shard_settings settings;
    settings.level = store.level();
    return core::shard::recover(settings, rows);
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) spdlog::warn("cannot raise the limit of open files above {}", limit.rlim_cur);
}

/// Broker time: the wall clock at start, then steady, so that it never goes back while the broker runs.
server::broker::clock broker_clock() {
    const auto wall = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    const auto steady = std::chrono::steady_clock::now();
    return [wall, steady] {
        return wall + std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - steady);
    };
}

int run(const options& o) {
    const auto endpoint = parse_endpoint(o.listen, o.insecure);
    if (!endpoint) return complain(exit_usage, endpoint.failure());
    auto store = open_store(o);
    if (!store) return complain(store.failure().code == errc::invalid_argument ? exit_usage : exit_failed, store.failure());
    const core::shard_id only_shard{0};
    const auto epoch = store.value()->open(only_shard);
    if (!epoch) return complain(exit_failed, epoch.failure());
    auto shard = recover_shard(*store.value());
    if (!shard) return complain(exit_failed, shard.failure());

    asio::io_context io(1);
    server::broker_settings settings;
    settings.shard = only_shard;
    settings.sessions_max = o.max_connections;
    settings.epoch = epoch.value();
    settings.session.epoch = epoch.value();
    settings.session.level = store.value()->level();
    settings.session.broker_name = "millraced " MILLRACE_VERSION;
    server::broker broker(io, driver::driver(std::move(shard.value()), {}), *store.value(), settings, broker_clock());

    const auto bound = broker.listen(endpoint.value());
    if (!bound) return complain(exit_failed, bound.failure());
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code& ec, int) {
        if (!ec) broker.drain();
    });
    const auto& address = bound.value().address();
    std::printf(address.is_v6() ? "ready listen=[%s]:%u\n" : "ready listen=%s:%u\n", address.to_string().c_str(), bound.value().port());
    std::fflush(stdout);
    io.run();
    if (!broker.fatal()) return 0;
    complain(exit_store_failed, broker.fatal());
    std::_Exit(exit_store_failed);  // what the store still holds must not be touched again
}

}  // namespace

int main(int argc, char** argv) {
    options o;
    CLI::App app("Millrace, a durable message queue broker", "millraced");
    app.set_version_flag("--version", "millraced " MILLRACE_VERSION);
    app.add_option("--store", o.store, "rocksdb:DIR, or memory: (lost when the broker ends)")->capture_default_str()->envname("MILLRACE_STORE");
    app.add_option("--listen", o.listen, "HOST:PORT for clients; port 0 takes a free one")->capture_default_str()->envname("MILLRACE_LISTEN");
    app.add_option("--durability", o.durability, "what an answer promises: disk, buffered, memory")->capture_default_str()->envname("MILLRACE_DURABILITY");
    app.add_option("--log-level", o.log_level, "trace, debug, info, warn, error")->capture_default_str()->envname("MILLRACE_LOG_LEVEL");
    app.add_option("--max-connections", o.max_connections, "clients at a time; one more is refused")->capture_default_str()
        ->check(CLI::PositiveNumber)->envname("MILLRACE_MAX_CONNECTIONS");
    app.add_flag("--insecure", o.insecure, "listen on an address that other machines reach");
    app.add_flag("--salvage", o.salvage, "open a store whose log is damaged without what cannot be read, and name that");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : exit_usage;
    }
    spdlog::set_default_logger(spdlog::stderr_logger_mt("millraced"));
    const auto level = spdlog::level::from_str(o.log_level);
    if (level == spdlog::level::off && o.log_level != "off")
        return complain(exit_usage, {errc::invalid_argument, "--log-level is '" + o.log_level + "': give trace, debug, info, warn or error"});
    spdlog::set_level(level);
    raise_descriptor_limit();
    return run(o);
}
