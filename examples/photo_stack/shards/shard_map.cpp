#include "examples/photo_stack/shards/shard_map.hpp"

#include <algorithm>
#include <pqxx/result>

namespace photo_stack {
namespace {

std::size_t index_of(std::vector<shard_part>& shards, const pqxx::row& r) {
    const auto name = r["shard"].as<std::string>();
    const auto there = std::find_if(shards.begin(), shards.end(), [&](const shard_part& s) { return s.name == name; });
    if (there != shards.end()) return static_cast<std::size_t>(there - shards.begin());
    shards.push_back({name, r["address"].as<std::string>(), r["replicas"].as<std::string>(), ""});
    return shards.size() - 1;
}

const std::string of_this_version = "select from own_buckets where bucket = $1 and version = $2 and state = 'owned'";

void require_row(const pqxx::result& found, const bucket_place& place) {
    if (found.empty()) throw bucket_elsewhere("bucket " + std::to_string(place.bucket) + " is not there in version " + std::to_string(place.version));
}

}  // namespace

shard_map read_shard_map(pqxx::transaction_base& directory) {
    shard_map map;
    std::size_t count = 0;
    for (const auto& r : directory.exec("select bucket, version, shard, address, replicas from shard_map join shards on name = shard order by bucket")) {
        const bucket_place place{r["bucket"].as<int>(), r["version"].as<std::int64_t>(), index_of(map.shards, r)};
        auto& holdings = map.shards.at(place.shard).holdings;
        holdings += (holdings.empty() ? "" : " ") + std::to_string(place.bucket) + ":" + std::to_string(place.version);
        map.places.at(static_cast<std::size_t>(place.bucket)) = place;
        ++count;
    }
    if (count != buckets) throw std::runtime_error("the directory's shard_map has " + std::to_string(count) + " buckets instead of " + std::to_string(buckets));
    return map;
}

void hold_bucket(pqxx::transaction_base& tx, const bucket_place& place) { require_row(tx.exec_params(of_this_version + " for share", place.bucket, place.version), place); }

void require_bucket(pqxx::transaction_base& tx, const bucket_place& place) { require_row(tx.exec_params(of_this_version, place.bucket, place.version), place); }

void require_holdings(pqxx::transaction_base& tx, const shard_part& part) {
    if (part.holdings.empty()) return;
    const auto there = tx.exec1("select coalesce(string_agg(bucket || ':' || version, ' ' order by bucket), '') from own_buckets where state = 'owned'");
    if (there[0].as<std::string>() != part.holdings) throw bucket_elsewhere("shard " + part.name + " has other buckets than the map says");
}

}  // namespace photo_stack
