// Who has an account, and whose token this is.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/sessions.hpp"
#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

/// Everything throws refusal, with what is wrong, database_unavailable and sessions_unavailable.
class accounts {
public:
    accounts(database& rows, sessions& logged_in, work_pool& work) : rows_(rows), logged_in_(logged_in), work_(work) {}

    boost::asio::awaitable<account> sign_up(std::string name, std::string password);

    /// Nothing when there is no such name, or the password is another.
    boost::asio::awaitable<std::optional<account>> check_password(std::string name, std::string password);

    /// Ends all of its sessions. Whoever sends the same again, as there was no answer, is told the same: the new password is the old one then.
    boost::asio::awaitable<void> change_password(account who, std::string password, std::string new_password);

    /// The token of a new session, which sees everything that was written before.
    boost::asio::awaitable<std::string> open_session(account who, session_kind kind);
    boost::asio::awaitable<void> close_session(std::string token, session_kind kind);

    boost::asio::awaitable<std::optional<session>> session_of(std::string token, session_kind kind);

    /// From now on the session sees what the user has written by now.
    boost::asio::awaitable<void> note_write(std::int64_t user, std::string token, session_kind kind);

    /// As of `after`, or later.
    boost::asio::awaitable<std::optional<account>> find(std::int64_t user, log_positions after);
    boost::asio::awaitable<std::optional<account>> find(std::string name, log_positions after);

private:
    boost::asio::awaitable<std::optional<std::int64_t>> number_of(std::string name);
    boost::asio::awaitable<log_positions> position(std::int64_t user);

    database& rows_;
    sessions& logged_in_;
    work_pool& work_;
};

}  // namespace photo_web
