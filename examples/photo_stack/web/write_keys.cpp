#include "examples/photo_stack/web/write_keys.hpp"

#include <pqxx/result>

#include "examples/photo_stack/web/parsing/text_rules.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

std::optional<write_key> write_key_of(std::optional<std::string> key, std::string request) {
    if (!key) return std::nullopt;
    if (const auto fault = fault_in_idempotency_key(*key)) throw refusal(400, "invalid_idempotency_key", *fault);
    return write_key{std::move(*key), std::move(request)};
}

std::optional<stored_answer> find_answer(transaction& tx, std::int64_t user, const write_key& key) {
    const auto found = tx.exec_params("select request, status, answer from idempotency_keys where user_id = $1 and key = $2", user, key.key);
    if (found.empty()) return std::nullopt;
    if (found[0]["request"].as<std::string>() != key.request)
        throw refusal(422, "idempotency_key_reused", "This Idempotency-Key was used before for another request.");
    return stored_answer{found[0]["status"].as<unsigned>(), found[0]["answer"].as<std::string>()};
}

bool take_key(transaction& tx, std::int64_t user, const write_key& key, const stored_answer& answer) {
    tx.exec_params("delete from idempotency_keys where user_id = $1 and created_at < now() - interval '1 day'", user);
    return !tx.exec_params("insert into idempotency_keys (user_id, key, request, status, answer) values ($1, $2, $3, $4, $5)"
                           " on conflict do nothing returning key",
                           user, key.key, key.request, answer.status, answer.text)
                .empty();
}

}  // namespace photo_web
