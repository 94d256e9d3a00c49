// Random tokens, what is stored of them, and what proves that a form is ours.
#pragma once

#include <string>
#include <string_view>

namespace photo_web {

/// 256 random bits in base64url: 43 characters.
std::string new_token();

/// SHA-256 in hexadecimal: what the database keeps of a token, so that whoever reads it cannot log in as anybody.
std::string digest_of(std::string_view token);

/// HMAC-SHA-256 in hexadecimal.
std::string keyed_digest_of(std::string_view secret, std::string_view text);

/// In a time that does not tell where they differ.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace photo_web
