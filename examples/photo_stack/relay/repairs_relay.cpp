#include "examples/photo_stack/relay/repairs_relay.hpp"

#include <spdlog/spdlog.h>

#include <pqxx/connection>
#include <pqxx/nontransaction>
#include <pqxx/result>
#include <pqxx/transaction>
#include <vector>

#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/shards/database_connection.hpp"
#include "millrace/blocking_client.hpp"

namespace photo_relay {
namespace {

namespace client = millrace::client;

constexpr int rows_at_once = 100;
constexpr long look_again_seconds = 1;  // also without a notification, which is nothing but a hint

/// They go with the commit that follows the broker's answer. How many there were.
std::size_t carry_some(pqxx::connection& database, client::blocking_client& broker) {
    pqxx::work tx(database);
    const auto rows = tx.exec_params("delete from store_repairs where id in (select id from store_repairs order by id limit $1 for update skip locked) returning photo_id, " +
                                         photo_stack::store_repair_row + " as message",
                                     rows_at_once);
    std::vector<millrace::message> orders;
    for (const auto& r : rows) orders.push_back({.key = r["photo_id"].as<std::string>(), .payload = r["message"].as<std::string>()});
    if (!orders.empty()) broker.publish_all(photo_stack::repairs_topic, std::move(orders));
    tx.commit();
    return rows.size();
}

}  // namespace

void relay_repairs(const repairs_settings& settings, const std::atomic<bool>& ending) {
    client::blocking_client broker(settings.broker);
    const auto database = photo_stack::connect(settings.database);
    {
        pqxx::nontransaction tx(*database);
        tx.exec("listen store_repairs");
    }
    spdlog::info("carrying orders for the storekeeper");
    while (!ending)
        if (carry_some(*database, broker) == 0) database->await_notification(look_again_seconds, 0);
}

}  // namespace photo_relay
