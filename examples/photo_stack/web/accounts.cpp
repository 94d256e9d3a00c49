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

/// The number that belongs to the name, whether there is an account of it yet or not.
std::int64_t take_name(transaction& tx, const std::string& name) {
    tx.exec_params0("insert into names (name) values ($1) on conflict do nothing", name);
    return tx.exec_params1("select user_id from names where name = $1", name)[0].as<std::int64_t>();
}

std::optional<std::string> find_password(transaction& tx, std::int64_t user) {
    const auto found = tx.exec_params("select password_hash from users where id = $1", user);
    if (found.empty()) return std::nullopt;
    return found[0][0].as<std::string>();
}

}  // namespace

/// The account is made by its row in the shard: who comes second there, with the same name, finds it taken. What stands in the directory before is no account.
asio::awaitable<account> accounts::sign_up(std::string name, std::string password) {
    if (const auto fault = fault_in_user_name(name)) throw refusal(422, "invalid_name", *fault);
    if (const auto fault = fault_in_password(password)) throw refusal(422, "invalid_password", *fault);
    auto hashing = [password] { return hash_password(password); };
    const auto hash = co_await work_.run(std::move(hashing));
    auto taking = [name](transaction& tx) { return take_name(tx, name); };
    const auto id = co_await rows_.directory().run(std::move(taking));
    auto adding = [id, name, hash](transaction& tx) {
        if (tx.exec_params("insert into users (id, name, password_hash) values ($1, $2, $3) on conflict do nothing", id, name, hash).affected_rows() == 0)
            throw refusal(409, "name_taken", "The name '" + name + "' is taken.");
        return account{id, name};
    };
    co_return co_await rows_.run(id, std::move(adding));
}

asio::awaitable<std::optional<account>> accounts::check_password(std::string name, std::string password) {
    if (fault_in_user_name(name) || fault_in_password(password)) co_return std::nullopt;  // nobody has such a one
    const auto id = co_await number_of(name);
    std::optional<std::string> stored;
    if (id) {
        auto finding = [user = *id](transaction& tx) { return find_password(tx, user); };
        stored = co_await rows_.ask(*id, std::move(finding));
    }
    auto comparing = [password, hash = stored.value_or(hash_of_nobody())] { return password_matches(password, hash); };
    const bool matches = co_await work_.run(std::move(comparing));
    if (!matches || !stored) co_return std::nullopt;
    co_return account{*id, name};
}

/// A name never gets another number.
asio::awaitable<std::optional<std::int64_t>> accounts::number_of(std::string name) {
    return rows_.directory().find({}, [name](transaction& tx) -> std::optional<std::int64_t> {
        const auto found = tx.exec_params("select user_id from names where name = $1", name);
        if (found.empty()) return std::nullopt;
        return found[0][0].as<std::int64_t>();
    });
}

asio::awaitable<void> accounts::change_password(account who, std::string password, std::string new_password) {
    if (const auto fault = fault_in_password(new_password)) throw refusal(422, "invalid_password", *fault);
    auto known = co_await check_password(who.name, std::move(password));
    if (!known) known = co_await check_password(who.name, new_password);
    if (!known) throw refusal(403, "wrong_credentials", "This is not your password.");
    auto hashing = [new_password] { return hash_password(new_password); };
    const auto hash = co_await work_.run(std::move(hashing));
    auto changing = [user = who.id, hash](transaction& tx) { tx.exec_params("update users set password_hash = $2 where id = $1", user, hash); };
    co_await rows_.run(who.id, std::move(changing));
    co_await logged_in_.close_all(who.id);
}

asio::awaitable<std::string> accounts::open_session(account who, session_kind kind) {
    auto written = co_await position(who.id);
    session of{std::move(who), std::move(written)};  // named, as GCC 12 destroys an aggregate twice in a call that is awaited
    co_return co_await logged_in_.open(std::move(of), kind);
}

asio::awaitable<void> accounts::close_session(std::string token, session_kind kind) { return logged_in_.close(std::move(token), kind); }

asio::awaitable<std::optional<session>> accounts::session_of(std::string token, session_kind kind) { return logged_in_.find(std::move(token), kind); }

asio::awaitable<void> accounts::note_write(std::int64_t user, std::string token, session_kind kind) {
    if (!rows_.has_replicas()) co_return;
    auto written = co_await position(user);
    co_await logged_in_.note_write(std::move(token), kind, std::move(written));
}

/// Where everything is read at the primary, nobody needs to know.
asio::awaitable<log_positions> accounts::position(std::int64_t user) {
    if (!rows_.has_replicas()) co_return log_positions{};
    co_return co_await rows_.position(user);
}

asio::awaitable<std::optional<account>> accounts::find(std::int64_t user, log_positions after) {
    return rows_.find(user, std::move(after), [user](transaction& tx) { return first_account(tx.exec_params("select id, name from users where id = $1", user)); });
}

asio::awaitable<std::optional<account>> accounts::find(std::string name, log_positions after) {
    if (fault_in_user_name(name)) co_return std::nullopt;  // nobody's; what is no text for the database must not get there
    const auto id = co_await number_of(std::move(name));
    if (!id) co_return std::nullopt;
    co_return co_await find(*id, std::move(after));
}

}  // namespace photo_web
