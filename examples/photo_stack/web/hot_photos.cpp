#include "examples/photo_stack/web/hot_photos.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>

#include "examples/photo_stack/web/parsing/text_rules.hpp"
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

/// A bucket that has moved takes its photos from one shard's newest to another's: so whoever moves it forgets both (stack_tool/bucket_move.py), and the text
/// says for which buckets it was made.
std::string key_of_newest(const std::string& shard) { return "newest:" + shard; }

std::string key_of(std::int64_t photo) { return "photo:" + std::to_string(photo); }
std::string key_of_first(std::int64_t user) { return "first:" + std::to_string(user); }
std::string key_of_name(const std::string& name) { return "name:" + name; }

constexpr char end_of_holdings = '\n';

}  // namespace

hot_photos::hot_photos(asio::any_io_executor loop, database& rows, photo_catalog& catalog, accounts& people, redis_cache* cache, std::vector<redis_cache*> far_caches)
    : loop_(std::move(loop)), rows_(rows), catalog_(catalog), people_(people), cache_(cache), far_caches_(std::move(far_caches)), reads_(loop_, patience_here) {}

// ---- the newest ones of all --------------------------------------------------------------------------------------------------------

asio::awaitable<std::vector<photo_row>> hot_photos::newest(log_positions after) {
    if (!cache_) co_return co_await catalog_.newest(newest_photos, std::move(after));
    const auto asking = [&](const shard_part& part) { return newest_in(part, after); };
    auto of_each = co_await rows_.of_each_shard(asking);
    co_return photo_catalog::newest_of(std::move(of_each), newest_photos);
}

/// What was made for other buckets is not told: the shard says which ones it has. Nor is kept what was made for no buckets in particular.
asio::awaitable<std::vector<photo_row>> hot_photos::newest_in(const shard_part& part, log_positions after) {
    if (part.holdings.empty()) co_return co_await catalog_.newest_in(part, newest_photos, std::move(after));
    making make = [this, part](log_positions at) { return make_newest(part, std::move(at)); };
    const auto text = co_await through_cache(key_of_newest(part.name), after, std::move(make));
    const auto end = text->find(end_of_holdings);
    if (text->compare(0, end, part.holdings) != 0) co_return co_await catalog_.newest_in(part, newest_photos, std::move(after));
    co_return photos_from_text(text->substr(end + 1));
}

asio::awaitable<hot_photos::made> hot_photos::make_newest(shard_part part, log_positions after) {
    const auto rows = co_await catalog_.newest_in(part, newest_photos, std::move(after));
    co_return made{part.holdings + end_of_holdings + text_from_photos(rows), lifetime_of(rows)};
}

// ---- one photo, and somebody's -----------------------------------------------------------------------------------------------------

asio::awaitable<std::optional<photo_row>> hot_photos::find(std::int64_t photo, log_positions after) {
    if (!cache_) co_return co_await catalog_.find(photo, std::move(after));
    making make = [this, photo](log_positions at) { return make_photo(photo, std::move(at)); };
    const auto text = co_await through_cache(key_of(photo), std::move(after), std::move(make));
    if (!text) co_return std::nullopt;
    co_return photos_from_text(*text).at(0);
}

asio::awaitable<hot_photos::made> hot_photos::make_photo(std::int64_t photo, log_positions after) {
    auto row = co_await catalog_.find(photo, std::move(after));
    if (!row) co_return made{std::nullopt, lifetime};
    const std::vector rows{std::move(*row)};
    co_return made{text_from_photos(rows), lifetime_of(rows)};
}

asio::awaitable<std::vector<photo_row>> hot_photos::of_user(std::int64_t user, std::optional<std::int64_t> before, int count_max, log_positions after) {
    if (!cache_ || before || count_max > first_photos) co_return co_await catalog_.of_user(user, before, count_max, std::move(after));
    making make = [this, user](log_positions at) { return make_first_of_user(user, std::move(at)); };
    const auto text = co_await through_cache(key_of_first(user), std::move(after), std::move(make));
    auto photos = photos_from_text(*text);
    if (photos.size() > static_cast<std::size_t>(count_max)) photos.resize(static_cast<std::size_t>(count_max));
    co_return photos;
}

asio::awaitable<hot_photos::made> hot_photos::make_first_of_user(std::int64_t user, log_positions after) {
    const auto rows = co_await catalog_.of_user(user, std::nullopt, first_photos, std::move(after));
    co_return made{text_from_photos(rows), lifetime_of(rows)};
}

/// An account never changes.
asio::awaitable<std::optional<account>> hot_photos::find_user(std::string name, log_positions after) {
    if (!cache_ || fault_in_user_name(name)) co_return co_await people_.find(std::move(name), std::move(after));
    making make = [this, name](log_positions at) { return make_account(name, std::move(at)); };
    const auto number = co_await through_cache(key_of_name(name), std::move(after), std::move(make));
    if (!number) co_return std::nullopt;
    co_return account{std::stoll(*number), std::move(name)};
}

asio::awaitable<hot_photos::made> hot_photos::make_account(std::string name, log_positions after) {
    const auto who = co_await people_.find(std::move(name), std::move(after));
    co_return made{who ? found(std::to_string(who->id)) : std::nullopt, lifetime};
}

// ---- the cache ---------------------------------------------------------------------------------------------------------------------

asio::awaitable<void> hot_photos::purge(std::int64_t user, std::vector<std::int64_t> photos) {
    if (!cache_) co_return;
    auto at = co_await rows_.position(user);
    std::vector<std::string> keys{key_of_first(user)};
    for (const auto& [shard, position] : at.of_shard) keys.push_back(key_of_newest(shard));
    for (const auto photo : photos) keys.push_back(key_of(photo));
    co_await cache_->purge(keys, at);
    for (auto* far : far_caches_) co_await far->purge(keys, at);
}

asio::awaitable<hot_photos::found> hot_photos::through_cache(std::string key, log_positions after, making make) {
    auto text = co_await cache_->peek(key);
    if (text) co_return text;
    shared_reads::reading filling = [this, key, make = std::move(make)](log_positions at) { return fill(key, std::move(at), make); };
    co_return co_await reads_.run(std::move(key), std::move(after), std::move(filling));
}

/// A purge may be here before what it was made for, from a primary that cannot be reached: then what there was before is told, as far as whoever asks has seen
/// it, and not kept.
asio::awaitable<hot_photos::found> hot_photos::fill(std::string key, log_positions after, making make) {
    const auto filler = new_token();
    const auto seen = co_await wait_for(key, filler);
    if (seen.text) co_return seen.text;
    auto at = later_of(after, seen.purged);
    made out;
    std::exception_ptr failed;
    bool out_of_reach = false;
    try {
        out = co_await make(std::move(at));
    } catch (const database_unavailable&) {
        out_of_reach = true;
        failed = std::current_exception();
    } catch (...) {
        failed = std::current_exception();
    }
    if (seen.state == cached::to_be_filled_by_you) co_await cache_->fill(key, filler, out.text, out.lifetime);
    if (out_of_reach && !seen.purged.of_shard.empty()) out = co_await make(std::move(after));
    else if (failed) std::rethrow_exception(failed);
    co_return out.text;
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

}  // namespace photo_web
