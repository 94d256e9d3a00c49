#include "examples/photo_stack/storekeeper/storekeeper.hpp"

#include <spdlog/spdlog.h>

#include <pqxx/nontransaction>
#include <pqxx/result>
#include <pqxx/transaction>

#include "examples/photo_stack/shards/database_connection.hpp"

namespace photo_storekeeper {

using boost::beast::http::verb;
using photo_stack::photos_unavailable;

namespace {

constexpr auto purge_deadline = std::chrono::seconds{1};

void purge_at(photo_stack::http_peer& edge, std::int64_t photo, const std::string& file) {
    const auto target = "/purge" + photo_stack::path_of_photo_file(photo, file);
    const auto status = edge.ask(verb::get, target).status;
    if (status != 200 && status != 404) throw photo_stack::peer_unavailable(edge.address() + " answers " + target + " with " + std::to_string(status));
}

}  // namespace

storekeeper::storekeeper(const std::vector<std::string>& stores, const std::vector<std::string>& edges, std::string directory)
    : stores_(stores), directory_(std::move(directory)), shards_(directory_) {
    for (const auto& address : edges) edges_.emplace_back(address, purge_deadline);
}

/// The lock goes with the transaction, or with its connection.
void storekeeper::settle(const photo_stack::store_repair& repair) {
    try {
        if (!locks_) locks_ = photo_stack::connect(directory_);
        pqxx::work alone(*locks_);
        if (!alone.exec_params1("select pg_try_advisory_xact_lock($1)", repair.photo)[0].as<bool>())
            throw photos_unavailable("another storekeeper is at photo " + std::to_string(repair.photo));
        settle_alone(repair);
        alone.commit();
    } catch (const pqxx::failure&) {
        locks_.reset();
        throw;
    }
}

/// The photo may be deleted while its files are copied: then they go again.
void storekeeper::settle_alone(const photo_stack::store_repair& repair) {
    if (repair.version != 0) return clear_version_away(repair.photo, repair.version);
    if (is_there(repair.photo)) {
        stores_.even_out(repair.photo);
        if (is_there(repair.photo)) return spdlog::info("photo {} is the same in all object stores", repair.photo);
    }
    purge(repair.photo, repair.files, stores_.remove(repair.photo));
    spdlog::info("photo {} is gone from object stores and edges", repair.photo);
}

void storekeeper::clear_version_away(std::int64_t photo, int version) {
    const auto files = photo_stack::files_of_version(version);
    bool removed = true;
    for (const auto& file : files) removed &= stores_.remove(photo, file);
    purge(photo, files, removed);
    spdlog::info("version {} of photo {} is gone from object stores and edges", version, photo);
}

/// Asked where its bucket is now, which may not be where the order was written. A shard that does not have the bucket does not know: then it is asked again later.
bool storekeeper::is_there(std::int64_t photo) {
    const auto place = shards_.map().place_of(photo);
    const auto part = shards_.map().shards.at(place.shard);
    try {
        pqxx::nontransaction tx(shards_.to(part));
        const bool there = !tx.exec_params("select from photos where id = $1", photo).empty();
        photo_stack::require_bucket(tx, place);
        return there;
    } catch (const photo_stack::bucket_elsewhere&) {
        shards_.new_map();
        throw;
    } catch (const std::exception&) {
        shards_.forget(part);  // the next one is new
        throw;
    }
}

/// The stores first: an edge that is asked meanwhile would fetch it again.
void storekeeper::purge(std::int64_t photo, const std::vector<std::string>& files, bool removed) {
    std::string fault = removed ? "" : "an object store is away";
    for (auto& edge : edges_) {
        try {
            for (const auto& file : files) purge_at(edge, photo, file);
        } catch (const photo_stack::peer_unavailable& why) {
            fault = why.what();
        }
    }
    if (!fault.empty()) throw photos_unavailable("photo " + std::to_string(photo) + " is not gone everywhere: " + fault);
}

}  // namespace photo_storekeeper
