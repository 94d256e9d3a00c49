// Who is logged in: what the token stands for that a browser or a program shows.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "examples/photo_stack/web/database.hpp"

namespace photo_web {

class redis_client;

struct account {
    std::int64_t id = 0;
    std::string name;
};

enum class session_kind { cookie, bearer };

struct session {
    account who;
    log_positions written;  // behind its last write: what it reads is at least as new
};

/// The sessions cannot be reached; a session that was to be opened may be open.
struct sessions_unavailable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Shared by all web servers. One thread. Everything throws database_unavailable or sessions_unavailable.
class sessions {
public:
    virtual ~sessions() = default;

    /// A new token: one that the client had before is never taken over.
    virtual boost::asio::awaitable<std::string> open(session of, session_kind kind) = 0;
    virtual boost::asio::awaitable<void> close(std::string token, session_kind kind) = 0;

    /// All that this user has, of both kinds.
    virtual boost::asio::awaitable<void> close_all(std::int64_t user) = 0;

    virtual boost::asio::awaitable<std::optional<session>> find(std::string token, session_kind kind) = 0;

    /// Nothing when the session is closed.
    virtual boost::asio::awaitable<void> note_write(std::string token, session_kind kind, log_positions written) = 0;
};

/// Rows of the directory, at its primary: a session must be there right after the log-in, and gone right after the log-out. REQUIRES: there is one shard.
std::unique_ptr<sessions> sessions_in_database(shard& directory);

/// In memory, and on the disk a second later: at the master that the sentinels name, and on its replica before it is answered.
/// `near`, if there is one, is in this data centre, and follows the master or is it: it says who somebody is while the master cannot be reached. Who has logged
/// out since then, elsewhere, is still known here.
std::unique_ptr<sessions> sessions_in_redis(redis_client& master, redis_client* near);

}  // namespace photo_web
