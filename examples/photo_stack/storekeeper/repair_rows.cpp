#include "examples/photo_stack/storekeeper/repair_rows.hpp"

#include <spdlog/spdlog.h>

#include <pqxx/connection>
#include <pqxx/nontransaction>
#include <pqxx/result>

#include "examples/photo_stack/shards/database_connection.hpp"

namespace photo_storekeeper {
namespace {

constexpr int rows_at_once = 100;
constexpr long look_again_seconds = 1;

using settling = std::function<void(const photo_stack::store_repair&)>;

bool is_settled(const settling& settle, const std::string& message) {
    try {
        settle(photo_stack::store_repair::from_text(message));
        return true;
    } catch (const std::exception& why) {
        spdlog::warn("{}", why.what());
        return false;
    }
}

/// What cannot be done now comes after what is new. How many were tried.
std::size_t settle_some(pqxx::connection& database, const settling& settle) {
    pqxx::nontransaction tx(database);
    const auto rows = tx.exec_params("select id, " + photo_stack::store_repair_row + " as message from store_repairs where due_at <= now() order by due_at limit $1",
                                     rows_at_once);
    for (const auto& r : rows) {
        const auto id = r["id"].as<std::int64_t>();
        if (is_settled(settle, r["message"].as<std::string>())) tx.exec_params("delete from store_repairs where id = $1", id);
        else tx.exec_params("update store_repairs set due_at = now() + interval '1 second' where id = $1", id);
    }
    return rows.size();
}

}  // namespace

void settle_rows(const std::string& database, const std::function<void(const photo_stack::store_repair&)>& settle, const std::atomic<bool>& ending) {
    const auto c = photo_stack::connect(database);
    {
        pqxx::nontransaction tx(*c);
        tx.exec("listen store_repairs");
    }
    while (!ending)
        if (settle_some(*c, settle) == 0) c->await_notification(look_again_seconds, 0);
}

}  // namespace photo_storekeeper
