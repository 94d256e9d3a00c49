// millraced: the broker. This file alone names the system clock, the environment and the disk; it builds the parts in order and runs them.
#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <string>

#include "broker/access.hpp"
#include "broker/admin/http_server.hpp"
#include "broker/broker_view.hpp"
#include "broker/driver/broker_clock.hpp"
#include "broker/endpoint.hpp"
#include "broker/explain_memory.hpp"
#include "broker/local_file_system.hpp"
#include "broker/log.hpp"
#include "broker/options.hpp"
#include "broker/server/broker.hpp"
#include "broker/storage/memory_store.hpp"
#include "broker/storage/rocksdb_store.hpp"

namespace {

using namespace millrace;
namespace asio = boost::asio;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_store_failed = 70;

int complain(int code, const error& why) {
    log_failure(to_string(why));
    return code;
}

result<std::unique_ptr<storage::store>> open_store(const options& o) {
    if (o.store == "memory:") return storage::make_memory_store();
    storage::rocksdb_options rocksdb;
    rocksdb.directory = o.store.substr(std::string_view("rocksdb:").size());
    rocksdb.level = o.durability;
    rocksdb.file_system = local_file_system();
    rocksdb.salvage = o.salvage;
    rocksdb.disk_reserve = o.disk_reserve;
    rocksdb.tell = [](const std::string& line) { spdlog::error("{}", line); };
    if (!storage::rocksdb_crc32c_is_in_effect())
        return error{errc::storage_failure, "RocksDB does not use this program's CRC-32C, or it is wrong: the build is broken"};
    return storage::open_rocksdb_store(rocksdb);
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) spdlog::warn("cannot raise the limit of open files above {}", limit.rlim_cur);
}

/// What a batch has used, the next one uses: given back to the kernel in between, as the C library does with much less than this, it would come as page faults again.
/// An allocator that knows no such limits (a sanitizer's) is left as it is.
void keep_freed_memory() {
    mallopt(M_MMAP_THRESHOLD, 32 << 20);  // from here on an allocation is given back when it is freed; the C library allows no more
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

driver::broker_clock::reading read_clocks() {
    return {std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()),
            std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())};
}

/// Broker time, the same for all shards.
server::broker::clock broker_time() {
    struct shared_clock {
        std::mutex mutex;
        driver::broker_clock clock{read_clocks()};
    };
    return [shared = std::make_shared<shared_clock>()] {
        const std::lock_guard lock(shared->mutex);
        const auto now = shared->clock.now(read_clocks());
        if (const auto ahead = shared->clock.take_jump())
            log_line(spdlog::level::warn, {{"ahead_ms", ahead->count() / 1000}},
                     "the wall clock is " + std::to_string(ahead->count() / 1'000'000) + " s ahead of broker time, which follows it by a tenth at most: leases and backoffs " +
                         (ahead->count() > 0 ? "end up to a tenth early" : "last up to a ninth longer"));
        return now;
    };
}

result<std::optional<access_list>> read_access(const options& o) {
    if (o.auth_file.empty()) return std::optional<access_list>();
    auto list = access_list::read(o.auth_file);
    if (!list) return error{list.failure().code, "--auth-file " + list.failure().what};
    return std::optional<access_list>(std::move(list.value()));
}

/// SIGHUP: the tokens are read again. A file that is wrong changes nothing.
void watch_hangup(asio::signal_set& hangup, const options& o, std::optional<access_list>& access, server::broker& broker) {
    hangup.async_wait([&](const boost::system::error_code& ec, int) {
        if (ec) return;
        watch_hangup(hangup, o, access, broker);
        if (!access) return spdlog::warn("SIGHUP: there is no --auth-file to read again");
        auto list = read_access(o);
        if (!list)
            return log_line(spdlog::level::err, {{"file", o.auth_file}, {"reason", list.failure().what}},
                            "SIGHUP: the tokens stay as they were: " + to_string(list.failure()));
        access = std::move(list.value());
        log_line(spdlog::level::info, {{"file", o.auth_file}, {"tokens", access->size()}},
                 "SIGHUP: " + std::to_string(access->size()) + " tokens were read from " + o.auth_file);
        broker.review_access();
    });
}

void tell_serving(const options& o, const asio::ip::tcp::endpoint& where, const std::optional<access_list>& access, durability level,
                  core::fencing_epoch epoch) {
    std::ostringstream listening;
    listening << where;
    const auto who = access ? std::to_string(access->size()) + " tokens are known" : std::string("nobody is asked for a token");
    log_line(spdlog::level::info,
             {{"listen", listening.str()}, {"store", o.store}, {"durability", name_of(level)}, {"epoch", static_cast<std::uint64_t>(epoch)}},
             "millraced " MILLRACE_VERSION " serves on " + listening.str() + ", from " + o.store + ", durability " + name_of(level) + "; " + who);
    if (!where.address().is_loopback())
        log_line(spdlog::level::warn, {{"listen", listening.str()}},
                 "messages" + std::string(access ? " and tokens" : "") + " cross the network as they are: there is no TLS yet");
}

constexpr std::chrono::microseconds company_time{500};  // of acks, for messages: about what a sync of a good disk takes

/// What is kept in memory and read in the background is shared out: together the shards do what one would.
driver::driver_settings of_each(driver::driver_settings all, std::uint32_t shards) {
    all.tail_cache_bytes /= shards;
    all.read_cache_bytes /= shards;
    all.reads_in_flight = std::max<std::size_t>(1, all.reads_in_flight / shards);
    all.scrub_bytes_per_second = (all.scrub_bytes_per_second + shards - 1) / shards;
    return all;
}

int run(const options& o) {
    auto access = read_access(o);
    if (!access) return complain(exit_usage, access.failure());
    auto store = open_store(o);
    if (!store) return complain(exit_failed, store.failure());
    server::broker_settings settings;
    settings.sessions_max = o.max_connections;
    settings.stay_awake = o.stay_awake;
    settings.driver.scrub_bytes_per_second = o.scrub_rate;
    settings.driver = of_each(settings.driver, o.shards);
    settings.core.window_messages /= o.shards;
    if (store.value()->level() >= durability::disk) settings.driver.company_time = company_time;
    settings.session.broker_name = "millraced " MILLRACE_VERSION;
    settings.new_key = [random = std::make_shared<std::random_device>()] { return std::uint64_t{(*random)()} << 32 | (*random)(); };
    if (access.value()) settings.session.access = &*access.value();
    auto opened = driver::open_shards(*store.value(), o.shards, settings.core);
    if (!opened) return complain(opened.failure().code == errc::sync_failed ? exit_store_failed : exit_failed, opened.failure());

    const auto epoch = opened.value().front().epoch;
    asio::io_context io(1);
    const auto clock = broker_time();
    server::broker broker(io, std::move(opened.value()), *store.value(), settings, clock);
    const broker_view view(broker, {MILLRACE_VERSION, o.store}, clock);
    admin::pages pages(view, settings.session.access);
    admin::http_server http(io, pages);

    const auto bound = broker.listen(o.listen);
    if (!bound) return complain(exit_failed, bound.failure());
    std::optional<asio::ip::tcp::endpoint> admin;
    if (o.admin) {
        const auto admin_bound = http.listen(*o.admin);
        if (!admin_bound) return complain(exit_failed, admin_bound.failure());
        admin = admin_bound.value();
    }
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code& ec, int) {
        if (!ec) broker.drain();
    });
    asio::signal_set hangup(io, SIGHUP);
    watch_hangup(hangup, o, access.value(), broker);
    tell_serving(o, bound.value(), access.value(), store.value()->level(), epoch);
    std::printf("ready listen=%s admin=%s\n", text_of(bound.value()).c_str(), (admin ? text_of(*admin) : "none").c_str());
    std::fflush(stdout);
    broker.run();
    if (!broker.fatal()) return 0;
    complain(exit_store_failed, broker.fatal());
    std::_Exit(exit_store_failed);  // what the store still holds must not be touched again
}

}  // namespace

int main(int argc, char** argv) {
    const auto chosen = read_options(argc, argv);
    if (!chosen) return complain(exit_usage, chosen.failure());
    const auto* o = std::get_if<options>(&chosen.value());
    if (!o) return 0;
    if (o->explain_memory) {
        server::broker_settings settings;
        settings.sessions_max = o->max_connections;
        std::fputs(explain_memory(storage::rocksdb_options{}, settings).c_str(), stdout);
        return 0;
    }
    start_log(o->log_as, o->log_level);
    raise_descriptor_limit();
    keep_freed_memory();
    return run(*o);
}
