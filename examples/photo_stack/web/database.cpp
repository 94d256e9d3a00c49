#include "examples/photo_stack/web/database.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

namespace photo_web {

namespace asio = boost::asio;

namespace {

/// With a bucket that moves just now: far longer than a move keeps anybody out, and with the time of a transaction still what an answer may take.
constexpr auto patience = std::chrono::milliseconds{1'000};
constexpr auto look_again = std::chrono::milliseconds{20};

bool is_same(const photo_stack::shard_map& a, const photo_stack::shard_map& b) {
    return a.shards.size() == b.shards.size() && std::equal(a.shards.begin(), a.shards.end(), b.shards.begin(), [](const shard_part& x, const shard_part& y) {
               return x.name == y.name && x.holdings == y.holdings;
           });
}

}  // namespace

database::database(const asio::any_io_executor& loop, shard_settings directory)
    : loop_(loop), settings_(std::move(directory)), directory_(std::make_shared<shard>(loop, settings_)), loaded_(loop) {}

asio::awaitable<log_positions> database::position(std::int64_t id) {
    return at(id, [](shard& rows, const shard_part& part, const place&) { return named_position(rows, part.name); });
}

asio::awaitable<log_positions> database::named_position(shard& rows, std::string name) {
    log_positions out;
    out.of_shard[name] = co_await rows.position();
    co_return out;
}

database::clock::time_point database::end_of_patience() { return clock::now() + patience; }

asio::awaitable<database::map_pointer> database::current_map(clock::time_point until) {
    while (!map_) co_await renew(nullptr, until);
    co_return map_;
}

/// Whoever finds the map wrong waits here for another one; one of them reads it.
asio::awaitable<void> database::renew(map_pointer known, clock::time_point until) {
    if (map_ != known) co_return;
    if (clock::now() >= until) throw database_unavailable(known ? "a bucket is between two shards" : "nobody has told where the shards are", false);
    if (loading_) {
        loaded_.expires_at(clock::time_point::max());
        co_await loaded_.async_wait(asio::as_tuple(asio::use_awaitable));
        co_return;
    }
    loading_ = true;
    std::exception_ptr failed;
    try {
        co_await load();
        if (map_ == known) {
            asio::steady_timer pause(loop_, look_again);
            co_await pause.async_wait(asio::use_awaitable);
        }
    } catch (...) {
        failed = std::current_exception();
    }
    loading_ = false;
    loaded_.cancel();
    if (failed) std::rethrow_exception(failed);
}

/// False when there was no other in that time.
asio::awaitable<bool> database::is_renewed(map_pointer known, clock::time_point until) {
    try {
        co_await renew(std::move(known), until);
    } catch (const database_unavailable& why) {
        spdlog::info("what each shard has is told, though the map says otherwise: {}", why.what());
        co_return false;
    }
    co_return true;
}

/// The first one a replica may tell: if that is an old one, whoever uses it is told.
asio::awaitable<void> database::load() {
    const auto reading = [](transaction& tx) { return photo_stack::read_shard_map(tx); };
    std::optional<photo_stack::shard_map> fresh;
    if (map_) {
        fresh = co_await directory_->run(reading);
    } else {
        log_position any;
        fresh = co_await directory_->read(std::move(any), reading);
    }
    take(std::move(*fresh));
}

void database::take(photo_stack::shard_map map) {
    if (map_ && is_same(*map_, map)) return;
    for (const auto& part : map.shards) {
        auto& rows = shards_[part.name];
        if (rows) continue;
        if (part.address.empty()) {
            rows = directory_;
            continue;
        }
        auto settings = settings_;
        settings.primary.address = photo_stack::address_of(settings.primary.address, part);
        if (!part.replicas.empty()) settings.replicas += " " + part.replicas;
        rows = std::make_shared<shard>(loop_, settings);
    }
    map_ = std::make_shared<const photo_stack::shard_map>(std::move(map));
    spdlog::info("there is a new map of {} shard(s)", map_->shards.size());
}

}  // namespace photo_web
