#include "broker/driver/open_shard.hpp"

#include <utility>
#include <vector>

namespace millrace::driver {
namespace {

constexpr std::size_t page_rows = 4096;

}  // namespace

result<opened_shard> open_shard(storage::store& store, core::shard_id shard, core::shard_settings settings) {
    const auto epoch = store.open(shard);
    if (!epoch) return epoch.failure();
    std::vector<core::row> rows;
    for (auto range = core::start_rows();;) {
        auto found = store.scan(range, page_rows);
        if (!found) return found.failure();
        const auto count = found.value().size();
        for (auto& r : found.value()) rows.push_back(std::move(r));
        if (count < page_rows) break;
        range.begin = rows.back().key + '\0';
    }
    settings.level = store.level();
    auto recovered = core::shard::recover(settings, rows);
    if (!recovered) return recovered.failure();
    return opened_shard{epoch.value(), std::move(recovered.value())};
}

result<std::vector<opened_shard>> open_shards(storage::store& store, std::uint32_t count, const core::shard_settings& settings) {
    std::vector<opened_shard> all;
    for (std::uint32_t index = 0; index < count; ++index) {
        auto of_this = settings;
        of_this.place = {index, count};
        auto opened = open_shard(store, core::shard_id{index}, of_this);
        if (!opened) return opened.failure();
        all.push_back(std::move(opened.value()));
    }
    return all;
}

}  // namespace millrace::driver
