// photo-storekeeper: what could not be done in all object stores at once is done here, as soon as they are back. Its orders are rows of the database, or come
// through Millrace.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "examples/photo_stack/storekeeper/repair_rows.hpp"
#include "examples/photo_stack/storekeeper/storekeeper.hpp"
#include "examples/photo_stack/workers/worker_program.hpp"

namespace {

constexpr auto pause_after_failure = std::chrono::milliseconds{500};

std::atomic<bool> ending = false;

int work_on_rows(photo_storekeeper::storekeeper& keeper, const std::string& database) {
    std::signal(SIGTERM, [](int) { ending = true; });
    std::signal(SIGINT, [](int) { ending = true; });
    while (!ending) {
        try {
            photo_storekeeper::settle_rows(database, [&](const photo_stack::store_repair& repair) { keeper.settle(repair); }, ending);
        } catch (const std::exception& why) {
            spdlog::warn("{}", why.what());
            std::this_thread::sleep_for(pause_after_failure);
        }
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::string> stores, edges;
    std::string database;
    millrace::client::connection_settings broker;
    broker.server.clear();
    CLI::App app("Keeps the object stores of the photo stack the same", "photo-storekeeper");
    app.add_option("--object-stores", stores, "http://ADDRESS:PORT,… that are to have the same")->required()->delimiter(',');
    app.add_option("--edges-inside", edges, "http://ADDRESS:PORT,… where edges take purges")->delimiter(',');
    app.add_option("--database", database, "connection string of libpq: of the first shard, which knows of the others; where there is no queue it is the only one")->required();
    photo_workers::add_broker_options(app, broker)->required(false);
    CLI11_PARSE(app, argc, argv);
    spdlog::flush_on(spdlog::level::info);
    photo_storekeeper::storekeeper keeper(stores, edges, database);
    if (broker.server.empty()) return work_on_rows(keeper, database);
    return photo_workers::run_worker<photo_stack::store_repair>(
        broker, photo_stack::repairs_topic, photo_stack::storekeeper_subscription,
        [&](millrace::client::connection&, const photo_stack::store_repair& repair, const photo_spans::span_context&) { keeper.settle(repair); });
}
