#include "examples/photo_stack/web/shard.hpp"

#include <spdlog/spdlog.h>

#include <pqxx/result>
#include <utility>

#include "examples/photo_stack/shards/shard_map.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

/// Of a read's time a replica gets a third: whoever it leaves waiting, because it was unplugged, has the time to ask the primary.
constexpr int replica_share = 3;

struct replica_is_behind {};

void require_at(transaction& tx, const log_position& after) {
    if (after.text.empty()) return;
    const auto row = tx.exec_params("select coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)", after.text).at(0);
    if (!row[0].as<bool>()) throw replica_is_behind();
}

std::unique_ptr<transaction_pool> pool_of_replicas(const asio::any_io_executor& loop, const shard_settings& settings) {
    if (settings.replicas.empty()) return nullptr;
    auto pool = settings.primary;
    pool.name = "database replica";
    pool.address = settings.replicas;
    pool.deadline /= replica_share;
    return std::make_unique<transaction_pool>(loop, std::move(pool));
}

}  // namespace

shard::shard(const asio::any_io_executor& loop, const shard_settings& settings)
    : primary_(loop, settings.primary), replicas_(pool_of_replicas(loop, settings)) {}

asio::awaitable<log_position> shard::position() {
    return run([](transaction& tx) { return log_position{tx.exec1("select pg_current_wal_flush_lsn()")[0].as<std::string>()}; });
}

/// False when no replica could say, or none that has seen enough: the primary knows.
asio::awaitable<bool> shard::read_at_replica(log_position after, std::function<void(transaction&)> job) {
    if (!replicas_) co_return false;
    std::function<void(transaction&)> checked = [after = std::move(after), job = std::move(job)](transaction& tx) {
        require_at(tx, after);
        job(tx);
    };
    try {
        co_await replicas_->perform(std::move(checked));
        co_return true;
    } catch (const photo_stack::bucket_elsewhere&) {
        spdlog::debug("a replica does not know yet of a bucket that has arrived, or it has left");
    } catch (const replica_is_behind&) {
        spdlog::debug("a replica is behind what its reader has written");
    } catch (const database_unavailable& why) {
        spdlog::info("no replica can be read: {}", why.what());
    }
    co_return false;
}

}  // namespace photo_web
