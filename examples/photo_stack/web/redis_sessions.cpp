#include <spdlog/spdlog.h>

#include "examples/photo_stack/web/redis_client.hpp"
#include "examples/photo_stack/web/secrets.hpp"
#include "examples/photo_stack/web/sessions.hpp"

namespace photo_web {
namespace {

namespace asio = boost::asio;

constexpr const char* lifetime_seconds = "2592000";  // thirty days

/// What a master has answered, and no replica has yet, is lost with it: so a change waits for one. Without a replica it counts all the same: that is sooner
/// worth a log-in again than nobody being able to log in.
const redis_command wait_for_a_replica{"WAIT", "1", "100"};

/// For so long a master that did not answer is not asked who somebody is, where there is a Redis nearby.
constexpr auto rest = std::chrono::seconds{1};

/// A session that was closed meanwhile stays so.
constexpr const char* note_if_there = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'written', ARGV[1]) end";

constexpr const char* close_script = R"(
    local user = redis.call('HGET', KEYS[1], 'user')
    if user then redis.call('SREM', 'sessions:' .. user, KEYS[1]) end
    redis.call('DEL', KEYS[1]))";

constexpr const char* close_all_script = R"(
    for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('DEL', key) end
    redis.call('DEL', KEYS[1]))";

/// A set of the keys of all sessions that a user has opened, and not closed.
std::string key_of_all(std::int64_t user) { return "sessions:" + std::to_string(user); }

std::string key_of(const std::string& token, session_kind kind) {
    return (kind == session_kind::cookie ? "session:cookie:" : "session:bearer:") + digest_of(token);
}

class in_redis final : public sessions {
public:
    in_redis(redis_client& master, redis_client* near) : master_(master), near_(near) {}

    asio::awaitable<std::string> open(session of, session_kind kind) override {
        auto token = new_token();
        const auto key = key_of(token, kind), all = key_of_all(of.who.id);
        std::vector<redis_command> commands{{"HSET", key, "user", std::to_string(of.who.id), "name", of.who.name, "written", of.written.to_text()},
                                            {"EXPIRE", key, lifetime_seconds},
                                            {"SADD", all, key},
                                            {"EXPIRE", all, lifetime_seconds},
                                            wait_for_a_replica};
        co_await change(std::move(commands));
        co_return token;
    }

    asio::awaitable<void> close(std::string token, session_kind kind) override {
        std::vector<redis_command> commands{{"EVAL", close_script, "1", key_of(token, kind)}, wait_for_a_replica};
        co_await change(std::move(commands));
    }

    asio::awaitable<void> close_all(std::int64_t user) override {
        std::vector<redis_command> commands{{"EVAL", close_all_script, "1", key_of_all(user)}, wait_for_a_replica};
        co_await change(std::move(commands));
    }

    asio::awaitable<std::optional<session>> find(std::string token, session_kind kind) override {
        const redis_command asked{"HMGET", key_of(token, kind), "user", "name", "written"};
        if (near_ && clock::now() < master_rests_until_) co_return co_await find_near(asked);
        std::vector<redis_command> commands{asked};
        try {
            const auto replies = co_await run(std::move(commands));
            co_return session_from(replies.at(0).list);
        } catch (const sessions_unavailable& why) {
            if (!near_) throw;
            spdlog::warn("the sessions nearby are asked: {}", why.what());
        }
        master_rests_until_ = clock::now() + rest;
        co_return co_await find_near(asked);
    }

    asio::awaitable<void> note_write(std::string token, session_kind kind, log_positions written) override {
        std::vector<redis_command> commands{{"EVAL", note_if_there, "1", key_of(token, kind), written.to_text()}, wait_for_a_replica};
        co_await change(std::move(commands));
    }

private:
    using clock = std::chrono::steady_clock;

    static std::optional<session> session_from(const std::vector<redis_reply>& found) {
        if (found.at(0).is_nothing) return std::nullopt;
        return session{{std::stoll(found[0].text), found.at(1).text}, log_positions::from_text(found.at(2).text)};
    }

    /// Whoever is not there may have logged in elsewhere a moment ago.
    asio::awaitable<std::optional<session>> find_near(redis_command asked) {
        std::vector<redis_command> commands{std::move(asked)};
        const auto replies = co_await run_at(*near_, std::move(commands));
        auto found = session_from(replies.at(0).list);
        if (!found) throw sessions_unavailable("the master cannot be reached, and nearby nobody knows this session");
        co_return found;
    }

    asio::awaitable<void> change(std::vector<redis_command> commands) {
        const auto replies = co_await run(std::move(commands));
        if (replies.back().number < 1) spdlog::warn("a change of a session is on no replica yet");
    }

    asio::awaitable<std::vector<redis_reply>> run(std::vector<redis_command> commands) { return run_at(master_, std::move(commands)); }

    asio::awaitable<std::vector<redis_reply>> run_at(redis_client& redis, std::vector<redis_command> commands) {
        try {
            co_return co_await redis.run(std::move(commands));
        } catch (const redis_unavailable& why) {
            throw sessions_unavailable(why.what());
        }
    }

    redis_client& master_;
    redis_client* near_;
    clock::time_point master_rests_until_{};
};

}  // namespace

std::unique_ptr<sessions> sessions_in_redis(redis_client& master, redis_client* near) { return std::make_unique<in_redis>(master, near); }

}  // namespace photo_web
