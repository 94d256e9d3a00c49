// Writes that are done once, however often they are sent: the name that a client gives a write is committed together with what that did.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "examples/photo_stack/web/transaction_pool.hpp"

namespace photo_web {

struct write_key {
    std::string key;
    std::string request;  // a digest of what is asked for
};

struct stored_answer {
    unsigned status = 0;
    std::string text;
};

/// Nothing without a key. Throws refusal when it can be none.
std::optional<write_key> write_key_of(std::optional<std::string> key, std::string request);

/// The answer to an earlier write of that user and key. Throws refusal when it was another request.
std::optional<stored_answer> find_answer(transaction& tx, std::int64_t user, const write_key& key);

/// Whether the key was free. Waits for whoever is about to commit it.
bool take_key(transaction& tx, std::int64_t user, const write_key& key, const stored_answer& answer);

}  // namespace photo_web
