// photo-relay: what stands between the database and the broker. One thread carries the outbox to the topic, another one the results into the catalog, a third
// one orders for the storekeeper; what fails is begun anew, which is all that there is to recovery.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include "examples/photo_stack/relay/outbox_relay.hpp"
#include "examples/photo_stack/relay/repairs_relay.hpp"
#include "examples/photo_stack/relay/results_inbox.hpp"

namespace {

constexpr auto pause_after_failure = std::chrono::milliseconds{200};

std::atomic<bool> ending = false;

void until_the_end(const char* what, const std::function<void()>& work) {
    while (!ending) {
        try {
            work();
        } catch (const std::exception& why) {
            spdlog::warn("{}: {}", what, why.what());
            std::this_thread::sleep_for(pause_after_failure);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::string database;
    millrace::client::connection_settings broker;
    broker.reconnect.enabled = false;  // a new connection is a new incarnation, which looks first at what the last one has left
    std::string producer = "photo-relay";
    CLI::App app("Carries the outbox of the photo stack to Millrace, and the results back", "photo-relay");
    app.add_option("--database", database, "connection string of libpq")->required();
    app.add_option("--broker", broker.server, "HOST:PORT of Millrace")->required();
    app.add_option("--broker-token-file", broker.token_file, "who this is to the broker");
    app.add_option("--producer", producer, "the name of this relay as a producer, which no other has")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    spdlog::flush_on(spdlog::level::info);
    std::signal(SIGTERM, [](int) { ending = true; });
    std::signal(SIGINT, [](int) { ending = true; });

    photo_relay::outbox_settings outbox{database, broker};
    outbox.broker.name = outbox.broker.producer = producer;
    photo_relay::inbox_settings inbox{database, broker};
    inbox.broker.name = producer + " inbox";
    photo_relay::repairs_settings repairs{database, broker};
    repairs.broker.name = producer + " repairs";
    std::thread orders([&] { until_the_end("repairs", [&] { photo_relay::relay_repairs(repairs, ending); }); });
    std::thread results([&] { until_the_end("inbox", [&] { photo_relay::take_results_in(inbox, ending); }); });
    until_the_end("outbox", [&] { photo_relay::relay_outbox(outbox, ending); });
    results.join();
    orders.join();
    return 0;
}
