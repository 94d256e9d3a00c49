// What everybody looks at: the newest photos, and the photos of a page, read through the cache where there is one.
//
//   a text in the cache ─────────────────────────────────────────────────────────────────► answered
//   none ─► this server's next read of the key ─► the right to fill it, of all servers ─► database ─► cache ─► answered
//
// So a thousand who come at once for what is not there cost the database one question, and without a cache one at a time of each server.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/photo_catalog.hpp"
#include "examples/photo_stack/web/redis_cache.hpp"
#include "examples/photo_stack/web/shared_reads.hpp"

namespace photo_web {

/// One thread. Everything throws database_unavailable, and overloaded.
class hot_photos {
public:
    static constexpr int newest_photos = 24;

    /// `cache` is null where there is none. `far_caches` are those of other data centres, which are read by nobody here, but purged.
    hot_photos(boost::asio::any_io_executor loop, database& rows, photo_catalog& catalog, redis_cache* cache, std::vector<redis_cache*> far_caches);

    /// As of `after`, or later.
    boost::asio::awaitable<std::vector<photo_row>> newest(log_position after);
    boost::asio::awaitable<std::optional<photo_row>> find(std::int64_t photo, log_position after);

    /// What was added, changed or removed, and is committed: whoever asks from now on sees it. A cache that cannot be reached shows for a minute what it has.
    boost::asio::awaitable<void> purge(std::vector<std::int64_t> photos);

private:
    using found = shared_reads::found;
    using found_rows = std::optional<std::vector<photo_row>>;
    using reading = std::function<boost::asio::awaitable<found_rows>(log_position)>;

    boost::asio::awaitable<found> through_cache(std::string key, log_position after, reading read);
    boost::asio::awaitable<found> fill(std::string key, log_position after, reading read);
    boost::asio::awaitable<cached> wait_for(const std::string& key, const std::string& filler);
    boost::asio::awaitable<found_rows> row_of(std::int64_t photo, log_position after);
    boost::asio::awaitable<found_rows> newest_rows(log_position after);

    boost::asio::any_io_executor loop_;
    database& rows_;
    photo_catalog& catalog_;
    redis_cache* cache_;
    std::vector<redis_cache*> far_caches_;
    shared_reads reads_;
};

}  // namespace photo_web
