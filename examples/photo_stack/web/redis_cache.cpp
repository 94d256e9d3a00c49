#include "examples/photo_stack/web/redis_cache.hpp"

#include <spdlog/spdlog.h>

namespace photo_web {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

namespace {

constexpr auto rest = std::chrono::seconds{1};

// Under a key is '=' and the text, or '!' and the place in the log at which it was purged; under fill:KEY, who is filling it.

constexpr const char* get_script = R"(
    local there = redis.call('GET', KEYS[1]) or ''
    if string.sub(there, 1, 1) == '=' then return {'filled', string.sub(there, 2)} end
    local mine = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', 500)
    return {mine and 'fill' or 'wait', string.sub(there, 2)})";

constexpr const char* fill_script = R"(
    if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
    redis.call('DEL', KEYS[2])
    if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
    return 1)";

constexpr const char* purge_script = R"(
    for _, key in ipairs(KEYS) do
        redis.call('SET', key, '!' .. ARGV[1], 'EX', 60)
        redis.call('DEL', 'fill:' .. key)
    end)";

}  // namespace

asio::awaitable<std::optional<std::string>> redis_cache::peek(std::string key) {
    redis_command command{"GET", std::move(key)};
    const auto reply = co_await ask(std::move(command));
    if (!reply || !reply->text.starts_with('=')) co_return std::nullopt;
    co_return reply->text.substr(1);
}

asio::awaitable<cached> redis_cache::get(std::string key, std::string filler) {
    redis_command command{"EVAL", get_script, "2", key, "fill:" + key, filler};
    auto reply = co_await ask(std::move(command));
    cached out;
    if (!reply) co_return out;
    const auto& state = reply->list.at(0).text;
    auto& text = reply->list.at(1).text;
    out.state = state == "filled" ? cached::filled : state == "fill" ? cached::to_be_filled_by_you : cached::being_filled;
    if (out.state == cached::filled) out.text = std::move(text);
    else out.purged = log_positions::from_text(text);
    co_return out;
}

asio::awaitable<void> redis_cache::fill(std::string key, std::string filler, std::optional<std::string> text, std::chrono::seconds lifetime) {
    redis_command command{"EVAL", fill_script, "2", key, "fill:" + key, filler, text ? "=" + *text : "", std::to_string(lifetime.count())};
    co_await ask(std::move(command));
}

asio::awaitable<void> redis_cache::purge(std::vector<std::string> keys, log_positions at) {
    redis_command command{"EVAL", purge_script, std::to_string(keys.size())};
    command.insert(command.end(), keys.begin(), keys.end());
    command.push_back(at.to_text());
    rests_until_ = {};  // what is old is worth another try
    co_await ask(std::move(command));
}

asio::awaitable<std::optional<redis_reply>> redis_cache::ask(redis_command command) {
    if (clock::now() < rests_until_) co_return std::nullopt;
    std::vector<redis_command> commands{std::move(command)};
    try {
        auto replies = co_await redis_.run(std::move(commands));
        co_return std::move(replies.at(0));
    } catch (const redis_unavailable& why) {
        spdlog::warn("the cache is not available: {}", why.what());
    } catch (const overloaded& why) {
        spdlog::warn("the cache is not asked: {}", why.what());
    }
    rests_until_ = clock::now() + rest;
    co_return std::nullopt;
}

}  // namespace photo_web
