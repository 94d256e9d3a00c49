// Passwords as they are kept: Argon2id, with its parameters and a salt of its own in each. Takes some 30 ms and 19 MiB, on purpose.
#pragma once

#include <string>

namespace photo_web {

/// Throws std::runtime_error when there is no memory.
std::string hash_password(const std::string& password);

bool password_matches(const std::string& password, const std::string& hash);

/// A hash that no password has: checking against it takes as long as for a user that exists, so that the time does not tell who does.
const std::string& hash_of_nobody();

}  // namespace photo_web
