#include "examples/photo_stack/web/accounts.hpp"

#include <pqxx/except>
#include <pqxx/result>

#include "examples/photo_stack/web/parsing/text_rules.hpp"
#include "examples/photo_stack/web/passwords.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

std::optional<account> first_account(const pqxx::result& found) {
    if (found.empty()) return std::nullopt;
    return account{found[0]["id"].as<std::int64_t>(), found[0]["name"].as<std::string>()};
}

struct stored_password {
    std::optional<account> whose;
    std::string hash;
};

stored_password find_password(transaction& tx, const std::string& name) {
    const auto found = tx.exec_params("select id, name, password_hash from users where name = $1", name);
    if (found.empty()) return {std::nullopt, hash_of_nobody()};
    return {first_account(found), found[0]["password_hash"].as<std::string>()};
}

}  // namespace

asio::awaitable<account> accounts::sign_up(std::string name, std::string password) {
    if (const auto fault = fault_in_user_name(name)) throw refusal(422, "invalid_name", *fault);
    if (const auto fault = fault_in_password(password)) throw refusal(422, "invalid_password", *fault);
    auto hashing = [password] { return hash_password(password); };
    const auto hash = co_await work_.run(std::move(hashing));
    auto adding = [name, hash](transaction& tx) {
        const auto made = tx.exec_params("insert into users (name, password_hash) values ($1, $2) on conflict (name) do nothing returning id, name", name, hash);
        if (made.empty()) throw refusal(409, "name_taken", "The name '" + name + "' is taken.");
        return *first_account(made);
    };
    co_return co_await rows_.run(std::move(adding));
}

asio::awaitable<std::optional<account>> accounts::check_password(std::string name, std::string password) {
    if (fault_in_user_name(name) || fault_in_password(password)) co_return std::nullopt;  // nobody has such a one
    auto finding = [name](transaction& tx) { return find_password(tx, name); };
    const auto stored = co_await rows_.run(std::move(finding));
    auto comparing = [password, hash = stored.hash] { return password_matches(password, hash); };
    const bool matches = co_await work_.run(std::move(comparing));
    if (!matches) co_return std::nullopt;
    co_return stored.whose;
}

asio::awaitable<std::string> accounts::open_session(account who, session_kind kind) {
    auto written = co_await position();
    session of{std::move(who), std::move(written)};  // named, as GCC 12 destroys an aggregate twice in a call that is awaited
    co_return co_await logged_in_.open(std::move(of), kind);
}

asio::awaitable<void> accounts::close_session(std::string token, session_kind kind) { return logged_in_.close(std::move(token), kind); }

asio::awaitable<std::optional<session>> accounts::session_of(std::string token, session_kind kind) { return logged_in_.find(std::move(token), kind); }

asio::awaitable<void> accounts::note_write(std::string token, session_kind kind) {
    if (!rows_.has_replicas()) co_return;
    auto written = co_await position();
    co_await logged_in_.note_write(std::move(token), kind, std::move(written));
}

/// Where everything is read at the primary, nobody needs to know.
asio::awaitable<log_position> accounts::position() {
    if (!rows_.has_replicas()) co_return log_position{};
    co_return co_await rows_.position();
}

asio::awaitable<std::optional<account>> accounts::find(std::int64_t user, log_position after) {
    return rows_.find(std::move(after), [user](transaction& tx) { return first_account(tx.exec_params("select id, name from users where id = $1", user)); });
}

asio::awaitable<std::optional<account>> accounts::find(std::string name, log_position after) {
    if (fault_in_user_name(name)) name.clear();  // nobody's; what is no text for the database must not get there
    return rows_.find(std::move(after), [name](transaction& tx) { return first_account(tx.exec_params("select id, name from users where name = $1", name)); });
}

}  // namespace photo_web
