#include "examples/photo_stack/web/hot_photos.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "examples/photo_stack/web/photo_text.hpp"
#include "examples/photo_stack/web/secrets.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

/// With those who read before on this server, and then with whoever fills it on another one: together with the time of a read, what an answer may take.
constexpr auto patience_here = std::chrono::milliseconds{500};
constexpr auto patience_elsewhere = std::chrono::milliseconds{300};
constexpr auto look_again = std::chrono::milliseconds{10};

/// A purge that did not get through, as the cache could not be reached just then, is made up for by then.
constexpr auto lifetime = std::chrono::seconds{60};

/// Of what changes without a purge: workers' results come to the database, and to no cache.
constexpr auto lifetime_in_work = std::chrono::seconds{1};

std::chrono::seconds lifetime_of(const std::vector<photo_row>& photos) {
    return std::any_of(photos.begin(), photos.end(), [](const photo_row& p) { return p.in_work; }) ? lifetime_in_work : lifetime;
}

const std::string key_of_newest = "newest";

std::string key_of(std::int64_t photo) { return "photo:" + std::to_string(photo); }

}  // namespace

hot_photos::hot_photos(asio::any_io_executor loop, database& rows, photo_catalog& catalog, redis_cache* cache, std::vector<redis_cache*> far_caches)
    : loop_(std::move(loop)), rows_(rows), catalog_(catalog), cache_(cache), far_caches_(std::move(far_caches)), reads_(loop_, patience_here) {}

asio::awaitable<std::vector<photo_row>> hot_photos::newest(log_position after) {
    if (!cache_) co_return co_await catalog_.newest(newest_photos, std::move(after));
    reading read = [this](log_position at) { return newest_rows(std::move(at)); };
    const auto text = co_await through_cache(key_of_newest, std::move(after), std::move(read));
    co_return photos_from_text(*text);
}

asio::awaitable<std::optional<photo_row>> hot_photos::find(std::int64_t photo, log_position after) {
    if (!cache_) co_return co_await catalog_.find(photo, std::move(after));
    reading read = [this, photo](log_position at) { return row_of(photo, std::move(at)); };
    const auto text = co_await through_cache(key_of(photo), std::move(after), std::move(read));
    if (!text) co_return std::nullopt;
    co_return photos_from_text(*text).at(0);
}

asio::awaitable<void> hot_photos::purge(std::vector<std::int64_t> photos) {
    if (!cache_) co_return;
    std::vector<std::string> keys{key_of_newest};
    for (const auto photo : photos) keys.push_back(key_of(photo));
    const auto at = co_await rows_.position();
    co_await cache_->purge(keys, at);
    for (auto* far : far_caches_) co_await far->purge(keys, at);
}

asio::awaitable<hot_photos::found> hot_photos::through_cache(std::string key, log_position after, reading read) {
    auto text = co_await cache_->peek(key);
    if (text) co_return text;
    shared_reads::reading filling = [this, key, read = std::move(read)](log_position at) { return fill(key, std::move(at), read); };
    co_return co_await reads_.run(std::move(key), std::move(after), std::move(filling));
}

asio::awaitable<hot_photos::found> hot_photos::fill(std::string key, log_position after, reading read) {
    const auto filler = new_token();
    const auto seen = co_await wait_for(key, filler);
    if (seen.text) co_return seen.text;
    auto at = later_of(after, seen.purged);
    const auto rows = co_await read(std::move(at));
    found text;
    if (rows) text = text_from_photos(*rows);
    if (seen.state == cached::to_be_filled_by_you) {
        const auto kept = rows ? lifetime_of(*rows) : lifetime;
        co_await cache_->fill(key, filler, text, kept);
    }
    co_return text;
}

/// Until it is filled, or this one may do it; or it took too long.
asio::awaitable<cached> hot_photos::wait_for(const std::string& key, const std::string& filler) {
    const auto until = std::chrono::steady_clock::now() + patience_elsewhere;
    auto seen = co_await cache_->get(key, filler);
    while (seen.state == cached::being_filled && std::chrono::steady_clock::now() < until) {
        asio::steady_timer pause(loop_, look_again);
        co_await pause.async_wait(asio::use_awaitable);
        seen = co_await cache_->get(key, filler);
    }
    co_return seen;
}

asio::awaitable<hot_photos::found_rows> hot_photos::row_of(std::int64_t photo, log_position after) {
    auto row = co_await catalog_.find(photo, std::move(after));
    if (!row) co_return std::nullopt;
    co_return std::vector{std::move(*row)};
}

asio::awaitable<hot_photos::found_rows> hot_photos::newest_rows(log_position after) { co_return co_await catalog_.newest(newest_photos, std::move(after)); }

}  // namespace photo_web
