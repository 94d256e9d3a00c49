// photo-web: the web server of the sample stack. This file builds the parts in order, and runs them until a signal says to end.
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "examples/photo_stack/photos/object_stores.hpp"
#include "examples/photo_stack/web/html_pages.hpp"
#include "examples/photo_stack/web/http_server.hpp"
#include "examples/photo_stack/web/json_api.hpp"
#include "examples/photo_stack/web/options.hpp"
#include "examples/photo_stack/web/plain_routes.hpp"
#include "examples/photo_stack/web/progress_events.hpp"
#include "examples/photo_stack/web/request_log.hpp"
#include "examples/photo_stack/web/static_files.hpp"
#include "examples/photo_stack/web/sweeper.hpp"
#include "examples/photo_workers/renditions.hpp"

namespace {

using namespace photo_web;
namespace asio = boost::asio;

constexpr std::size_t imaging_jobs_max = 64;
constexpr std::size_t disk_threads = 2;
constexpr std::size_t disk_jobs_max = 1024;

/// The first signal lets what is in work finish, for so long; the second one ends it.
asio::awaitable<void> drain_on_signal(asio::io_context& io, http_server& server, std::chrono::milliseconds limit) {
    asio::signal_set signals(io, SIGTERM, SIGINT);
    co_await signals.async_wait(asio::use_awaitable);
    spdlog::info("draining: {} connections", server.connections());
    server.drain();
    signals.async_wait([&io](const boost::system::error_code& ec, int) {
        if (!ec) io.stop();
    });
    const auto until = std::chrono::steady_clock::now() + limit;
    while (server.connections() > 0 && std::chrono::steady_clock::now() < until) {
        asio::steady_timer pause(io, std::chrono::milliseconds{20});
        co_await pause.async_wait(asio::use_awaitable);
    }
    io.stop();
}

std::unique_ptr<photo_stack::photo_files> files_in(const options& o) {
    if (o.object_stores.empty()) return photo_stack::directory_photo_files(o.photos);
    return std::make_unique<photo_stack::object_stores>(o.object_stores);
}

void run(const options& o) {
    asio::io_context io(1);
    work_pool imaging("imaging", o.imaging_threads, imaging_jobs_max);
    work_pool disk("disk", disk_threads, disk_jobs_max);
    const auto files = files_in(o);
    const photo_links links(o.edges);
    const template_folder templates(o.templates);
    database rows(io.get_executor(), o.database);
    const auto session_redis = o.sessions ? std::make_unique<redis_client>(*o.sessions) : nullptr;
    const auto near_redis = o.near_sessions ? std::make_unique<redis_client>(*o.near_sessions) : nullptr;
    const auto logged_in = session_redis ? sessions_in_redis(*session_redis, near_redis.get()) : sessions_in_database(rows.directory());
    accounts people(rows, *logged_in, imaging);
    photo_catalog catalog(rows, !o.object_stores.empty(), o.relay);
    const auto cache_redis = o.cache ? std::make_unique<redis_client>(*o.cache) : nullptr;
    const auto cache = cache_redis ? std::make_unique<redis_cache>(*cache_redis) : nullptr;
    std::vector<std::unique_ptr<redis_client>> far_redis;
    std::vector<std::unique_ptr<redis_cache>> far_caches;
    for (const auto& each : o.far_caches) far_caches.push_back(std::make_unique<redis_cache>(*far_redis.emplace_back(std::make_unique<redis_client>(each))));
    std::vector<redis_cache*> to_be_purged;
    for (const auto& each : far_caches) to_be_purged.push_back(each.get());
    hot_photos hot(io.get_executor(), rows, catalog, people, cache.get(), std::move(to_be_purged));
    uploads incoming(catalog, hot, *files, imaging, o.uploads);
    photo_versions versions(rows, o.relay);
    edits editing(catalog, versions, hot, *files, imaging, o.uploads);
    const sweeper sweeping(io.get_executor(), rows, *files, disk, o.sweeper);

    const form_guard forms(o.form_secret, o.secure_cookies);
    const page_frame frame(templates, forms);
    html_pages pages(people, hot, incoming, editing, links, frame, o.secure_cookies);
    json_api api(people, hot, incoming, editing, links);
    plain_routes plain(catalog, *files, disk);
    live_results results(io.get_executor(), links, o.live);
    progress_events progress(rows, catalog, results);
    const static_files as_they_are(o.static_files);
    route_table routes;
    pages.add_to(routes);
    api.add_to(routes);
    plain.add_to(routes);
    progress.add_to(routes);
    as_they_are.add_to(routes);

    site everything(routes, people, forms, frame, o.site, std::chrono::steady_clock::now);
    request_log log(o.metrics);
    http_server server(io, everything, log, o.http);
    server.listen(o.listen);
    asio::co_spawn(io, drain_on_signal(io, server, o.drain), asio::detached);
    spdlog::info("photo-web serves on {}:{}", o.listen.address().to_string(), o.listen.port());
    io.run();
    spdlog::info("photo-web ends, with {} connections left", server.connections());
    if (server.connections() > 0) std::_Exit(1);  // their requests are not waited for: a thread may be in a database that hangs
}

}  // namespace

int main(int argc, char** argv) {
    const auto o = read_options(argc, argv);
    spdlog::flush_on(spdlog::level::info);
    std::signal(SIGPIPE, SIG_IGN);
    try {
        photos::start_imaging("photo-web");
        run(o);
    } catch (const std::exception& why) {
        std::fprintf(stderr, "photo-web: %s\n", why.what());
        return 1;
    }
    return 0;
}
