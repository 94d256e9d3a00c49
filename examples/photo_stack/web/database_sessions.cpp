#include <pqxx/result>

#include "examples/photo_stack/web/secrets.hpp"
#include "examples/photo_stack/web/sessions.hpp"

namespace photo_web {
namespace {

namespace asio = boost::asio;

const char* name_of(session_kind kind) { return kind == session_kind::cookie ? "cookie" : "bearer"; }

std::optional<std::string> null_if_empty(const log_positions& p) { return p.of_shard.empty() ? std::nullopt : std::optional(p.to_text()); }

class in_database final : public sessions {
public:
    explicit in_database(shard& rows) : rows_(rows) {}

    asio::awaitable<std::string> open(session of, session_kind kind) override {
        const auto token = new_token();
        auto adding = [of, kind, digest = digest_of(token)](transaction& tx) {
            tx.exec_params("delete from sessions where user_id = $1 and expires_at < now()", of.who.id);
            tx.exec_params("insert into sessions (token_digest, user_id, kind, expires_at, written) values ($1, $2, $3, now() + interval '30 days', $4)", digest,
                           of.who.id, name_of(kind), null_if_empty(of.written));
        };
        co_await rows_.run(std::move(adding));
        co_return token;
    }

    asio::awaitable<void> close(std::string token, session_kind) override {
        return rows_.run([digest = digest_of(token)](transaction& tx) { tx.exec_params("delete from sessions where token_digest = $1", digest); });
    }

    asio::awaitable<void> close_all(std::int64_t user) override {
        return rows_.run([user](transaction& tx) { tx.exec_params("delete from sessions where user_id = $1", user); });
    }

    asio::awaitable<std::optional<session>> find(std::string token, session_kind kind) override {
        return rows_.run([digest = digest_of(token), kind](transaction& tx) -> std::optional<session> {
            const auto found = tx.exec_params("select users.id, users.name, coalesce(written, '') as written from sessions join users on users.id = user_id"
                                              " where token_digest = $1 and kind = $2 and expires_at > now()",
                                              digest, name_of(kind));
            if (found.empty()) return std::nullopt;
            const auto row = found[0];
            return session{{row["id"].as<std::int64_t>(), row["name"].as<std::string>()}, log_positions::from_text(row["written"].as<std::string>())};
        });
    }

    asio::awaitable<void> note_write(std::string token, session_kind, log_positions written) override {
        return rows_.run([digest = digest_of(token), written](transaction& tx) {
            tx.exec_params("update sessions set written = $2 where token_digest = $1", digest, null_if_empty(written));
        });
    }

private:
    shard& rows_;
};

}  // namespace

std::unique_ptr<sessions> sessions_in_database(shard& directory) { return std::make_unique<in_database>(directory); }

}  // namespace photo_web
