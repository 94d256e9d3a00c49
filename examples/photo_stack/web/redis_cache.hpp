// What is asked for often, kept in memory beside the database for a while, for all web servers: texts by key. It forgets what is used least when it is full, and
// everything when it dies.
//
//   get ─► the text
//       ─► nothing, and this one may fill it: nobody else does until it has, or half a second has passed
//       ─► nothing, and somebody else fills it
//
// A purge leaves behind at which place in its shard's log it was made: what is filled in afterwards must be at least as new. Whoever was filling the key when
// it was purged has read too early, and is not heard.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/redis_client.hpp"

namespace photo_web {

struct cached {
    std::optional<std::string> text{};
    log_positions purged{};  // when there is no text
    enum { filled, to_be_filled_by_you, being_filled, unreachable } state = unreachable;
};

/// One thread. A cache that cannot be reached is no error: it is as if nothing were in it, and is not asked again for a second.
class redis_cache {
public:
    explicit redis_cache(redis_client& redis) : redis_(redis) {}

    boost::asio::awaitable<std::optional<std::string>> peek(std::string key);

    /// `filler` is this call's own name.
    boost::asio::awaitable<cached> get(std::string key, std::string filler);

    /// Nothing: there is no such thing, and the next one may try.
    boost::asio::awaitable<void> fill(std::string key, std::string filler, std::optional<std::string> text, std::chrono::seconds lifetime);

    /// REQUIRES: what changed is committed, at `at` or before.
    boost::asio::awaitable<void> purge(std::vector<std::string> keys, log_positions at);

private:
    boost::asio::awaitable<std::optional<redis_reply>> ask(redis_command command);

    redis_client& redis_;
    std::chrono::steady_clock::time_point rests_until_{};
};

}  // namespace photo_web
