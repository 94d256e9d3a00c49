// Who has an account, and whose token this is.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "examples/photo_stack/web/database.hpp"
#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

struct account {
    std::int64_t id = 0;
    std::string name;
};

enum class session_kind { cookie, bearer };

/// Everything throws refusal, with what is wrong, and database_unavailable.
class accounts {
public:
    accounts(database& rows, work_pool& work) : rows_(rows), work_(work) {}

    boost::asio::awaitable<account> sign_up(std::string name, std::string password);

    /// Nothing when there is no such name, or the password is another.
    boost::asio::awaitable<std::optional<account>> check_password(std::string name, std::string password);

    /// A new token: one that the client had before is never taken over.
    boost::asio::awaitable<std::string> open_session(std::int64_t user, session_kind kind);
    boost::asio::awaitable<void> close_session(std::string token);

    boost::asio::awaitable<std::optional<account>> holder_of(std::string token, session_kind kind);

    boost::asio::awaitable<std::optional<account>> find(std::int64_t user);
    boost::asio::awaitable<std::optional<account>> find(std::string name);

private:
    database& rows_;
    work_pool& work_;
};

}  // namespace photo_web
