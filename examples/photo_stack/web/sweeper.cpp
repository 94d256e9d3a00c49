#include "examples/photo_stack/web/sweeper.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <numeric>
#include <pqxx/result>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/draft.hpp"
#include "examples/photo_stack/photos/photo_sizes.hpp"
#include "examples/photo_stack/web/loose_files.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

constexpr int swept_at_once = 20;

/// Older than $1 milliseconds, at most $2, of buckets that the shard has, and has until the transaction ends: what has moved is another shard's.
const std::string some_loose = "(select photo_id, loose_files.version from loose_files join own_buckets on bucket = photo_id % 256 and state = 'owned'"
                               " where since < now() - $1 * interval '1 millisecond' order by since limit $2 for update of loose_files skip locked for share of own_buckets)";

struct loose {
    std::int64_t photo;
    int version;
};

/// Nobody can make use of them from then on. Those that a sweeper has taken which died are taken again.
std::vector<loose> take_loose(transaction& tx, std::chrono::milliseconds age) {
    const auto taken = tx.exec_params("update loose_files set sweeping = true where (photo_id, version) in " + some_loose +
                                          " returning photo_id, version",
                                      age.count(), swept_at_once);
    std::vector<loose> out;
    for (const auto& r : taken) out.push_back({r[0].as<std::int64_t>(), r[1].as<int>()});
    return out;
}

void remove(photo_stack::photo_files& files, const loose& swept) {
    if (swept.version == all_files) (void)files.remove(swept.photo);
    else for (const auto& file : photo_stack::files_of_version(swept.version)) (void)files.remove(swept.photo, file);
}

/// In one transaction: the orders are not lost when a store or an edge is away. How many there were.
std::size_t leave_to_storekeeper(transaction& tx, std::chrono::milliseconds age) {
    const auto ordered = tx.exec_params("with swept as (delete from loose_files where (photo_id, version) in " + some_loose +
                                            " returning photo_id, version) insert into store_repairs (photo_id, version) select photo_id, version from swept",
                                        age.count(), swept_at_once);
    return static_cast<std::size_t>(ordered.affected_rows());
}

}  // namespace

sweeper::sweeper(asio::any_io_executor loop, database& rows, photo_stack::photo_files& files, work_pool& disk, const sweeper_settings& settings)
    : loop_(std::move(loop)), rows_(rows), files_(files), disk_(disk), settings_(settings) {
    asio::co_spawn(loop_, run(), asio::detached);
}

asio::awaitable<void> sweeper::run() {
    while (true) {
        asio::steady_timer pause(loop_, settings_.every);
        co_await pause.async_wait(asio::use_awaitable);
        try {
            co_await sweep();
        } catch (const std::exception& why) {
            spdlog::warn("loose files are left for later: {}", why.what());
        }
    }
}

asio::awaitable<void> sweeper::sweep() {
    co_await disk_.run([this] { photo_stack::remove_old_drafts(settings_.drafts, settings_.age); });
    const auto sweeping = [this](const shard_part& part) { return sweep_shard(part); };
    const auto of_each = co_await rows_.of_each_shard(sweeping);
    const auto swept = std::accumulate(of_each.begin(), of_each.end(), std::size_t{0});
    if (swept > 0) spdlog::info("swept {} loose photos or versions of photos", swept);
}

asio::awaitable<std::size_t> sweeper::sweep_shard(const shard_part& part) {
    if (!settings_.storekeeper) return sweep_folder(part);
    return rows_.run_in(part, [age = settings_.age](transaction& tx) { return leave_to_storekeeper(tx, age); });
}

asio::awaitable<std::size_t> sweeper::sweep_folder(const shard_part& part) {
    auto taking = [age = settings_.age](transaction& tx) { return take_loose(tx, age); };
    const auto taken = co_await rows_.run_in(part, std::move(taking));
    for (const auto& swept : taken) {
        co_await disk_.run([this, swept] { remove(files_, swept); });
        auto forgetting = [swept](transaction& tx) { tx.exec_params("delete from loose_files where photo_id = $1 and version = $2", swept.photo, swept.version); };
        co_await rows_.run(swept.photo, std::move(forgetting));
    }
    co_return taken.size();
}

}  // namespace photo_web
