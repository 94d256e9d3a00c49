// photo-relay: what stands between the database and the broker. Two threads for each shard carry its outbox and its orders for the storekeeper to their topics,
// another one the results into the catalog; what fails is begun anew, which is all that there is to recovery.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "examples/photo_stack/relay/outbox_relay.hpp"
#include "examples/photo_stack/relay/repairs_relay.hpp"
#include "examples/photo_stack/relay/results_inbox.hpp"
#include "examples/photo_stack/shards/shard_connections.hpp"

namespace {

constexpr auto pause_after_failure = std::chrono::milliseconds{200};
constexpr auto look_for_shards = std::chrono::milliseconds{500};

std::atomic<bool> ending = false;

void until_the_end(const std::string& what, const std::function<void()>& work) {
    while (!ending) {
        try {
            work();
        } catch (const std::exception& why) {
            spdlog::warn("{}: {}", what, why.what());
            std::this_thread::sleep_for(pause_after_failure);
        }
    }
}

/// Each shard has threads of its own, so that none waits for another; a shard may be added at any time.
class served_shards {
public:
    /// `directory` is a libpq connection string. Connections to the broker have names that begin with `name`.
    served_shards(std::string directory, millrace::client::connection_settings broker, std::string name)
        : directory_(std::move(directory)), broker_(std::move(broker)), name_(std::move(name)) {}

    /// `shards`: connections from the same directory.
    void take_up_new_ones(photo_stack::shard_connections& shards) {
        for (const auto& part : shards.new_map().shards) {
            if (!begun_.insert(part.name).second) continue;
            threads_.emplace_back([this, part] { carry_outbox(part); });
            threads_.emplace_back([this, part] { carry_repairs(part); });
        }
        std::this_thread::sleep_for(look_for_shards);
    }

    ~served_shards() {
        for (auto& thread : threads_) thread.join();
    }

private:
    void carry_outbox(const photo_stack::shard_part& part) {
        photo_relay::outbox_settings mine{photo_stack::address_of(directory_, part), broker_, name_};
        mine.broker.name = mine.broker.producer = name_ + "-" + part.name;
        until_the_end("outbox of " + part.name, [&] { photo_relay::relay_outbox(mine, ending); });
    }

    void carry_repairs(const photo_stack::shard_part& part) {
        photo_relay::repairs_settings mine{photo_stack::address_of(directory_, part), broker_};
        mine.broker.name = name_ + " repairs of " + part.name;
        until_the_end("repairs of " + part.name, [&] { photo_relay::relay_repairs(mine, ending); });
    }

    std::string directory_;
    millrace::client::connection_settings broker_;
    std::string name_;
    std::set<std::string> begun_;
    std::vector<std::thread> threads_;
};

}  // namespace

int main(int argc, char** argv) {
    std::string database;
    millrace::client::connection_settings broker;
    broker.reconnect.enabled = false;  // a new connection is a new incarnation, which looks first at what the last one has left
    std::string name = "relay";
    CLI::App app("Carries the outbox of the photo stack to Millrace, and the results back", "photo-relay");
    app.add_option("--database", database, "connection string of libpq: of the first shard, which knows of the others")->required();
    app.add_option("--broker", broker.server, "HOST:PORT of Millrace")->required();
    app.add_option("--broker-token-file", broker.token_file, "who this is to the broker");
    app.add_option("--name", name, "of this relay, as the rows of the outbox have it; no other relay has it")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    spdlog::flush_on(spdlog::level::info);
    std::signal(SIGTERM, [](int) { ending = true; });
    std::signal(SIGINT, [](int) { ending = true; });

    photo_relay::inbox_settings inbox{database, broker};
    inbox.broker.name = name + " inbox";
    std::thread results([&] { until_the_end("inbox", [&] { photo_relay::take_results_in(inbox, ending); }); });
    {
        served_shards served(database, broker, name);
        photo_stack::shard_connections shards(database);
        until_the_end("shards", [&] { served.take_up_new_ones(shards); });
    }
    results.join();
    return 0;
}
