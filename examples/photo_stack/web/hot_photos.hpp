// What everybody looks at: the newest photos, the photos of a page, and the first ones of whoever is looked at by many, read through the cache where there
// is one. So a shard does not have more to do than others because somebody in it is famous.
//
//   a text in the cache ─────────────────────────────────────────────────────────────────► answered
//   none ─► this server's next read of the key ─► the right to fill it, of all servers ─► database ─► cache ─► answered
//
// So a thousand who come at once for what is not there cost the database one question, and without a cache one at a time of each server.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "examples/photo_stack/web/accounts.hpp"
#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/photo_catalog.hpp"
#include "examples/photo_stack/web/redis_cache.hpp"
#include "examples/photo_stack/web/shared_reads.hpp"

namespace photo_web {

/// One thread. Everything throws database_unavailable, and overloaded.
class hot_photos {
public:
    static constexpr int newest_photos = 24;
    static constexpr int first_photos = 25;  // of a user: a page, and one that tells that there are more

    /// `cache` is null where there is none. `far_caches` are those of other data centres, which are read by nobody here, but purged.
    hot_photos(boost::asio::any_io_executor loop, database& rows, photo_catalog& catalog, accounts& people, redis_cache* cache, std::vector<redis_cache*> far_caches);

    /// As of `after`, or later.
    boost::asio::awaitable<std::vector<photo_row>> newest(log_positions after);
    boost::asio::awaitable<std::optional<photo_row>> find(std::int64_t photo, log_positions after);

    /// As photo_catalog::of_user.
    boost::asio::awaitable<std::vector<photo_row>> of_user(std::int64_t user, std::optional<std::int64_t> before, int count_max, log_positions after);
    boost::asio::awaitable<std::optional<account>> find_user(std::string name, log_positions after);

    /// What that user has added, changed or removed, and is committed: whoever asks from now on sees it. A cache that cannot be reached shows for a minute
    /// what it has; and where neither the primary can be reached nor a replica that has heard of it, what there was before is shown.
    boost::asio::awaitable<void> purge(std::int64_t user, std::vector<std::int64_t> photos);

private:
    using found = shared_reads::found;

    struct made {
        found text;
        std::chrono::seconds lifetime{};  // in the cache
    };
    using making = std::function<boost::asio::awaitable<made>(log_positions)>;

    boost::asio::awaitable<found> through_cache(std::string key, log_positions after, making make);
    boost::asio::awaitable<found> fill(std::string key, log_positions after, making make);
    boost::asio::awaitable<cached> wait_for(const std::string& key, const std::string& filler);
    boost::asio::awaitable<std::vector<photo_row>> newest_in(const shard_part& part, log_positions after);
    boost::asio::awaitable<made> make_photo(std::int64_t photo, log_positions after);
    boost::asio::awaitable<made> make_newest(shard_part part, log_positions after);
    boost::asio::awaitable<made> make_first_of_user(std::int64_t user, log_positions after);
    boost::asio::awaitable<made> make_account(std::string name, log_positions after);

    boost::asio::any_io_executor loop_;
    database& rows_;
    photo_catalog& catalog_;
    accounts& people_;
    redis_cache* cache_;
    std::vector<redis_cache*> far_caches_;
    shared_reads reads_;
};

}  // namespace photo_web
