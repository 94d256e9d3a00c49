#include "examples/photo_stack/web/passwords.hpp"

#include <argon2.h>

#include <array>
#include <stdexcept>

#include "examples/photo_stack/web/secrets.hpp"

namespace photo_web {
namespace {

constexpr std::uint32_t passes = 2;
constexpr std::uint32_t memory_kib = 19 * 1024;
constexpr std::uint32_t lanes = 1;
constexpr std::size_t hash_bytes = 32;

}  // namespace

std::string hash_password(const std::string& password) {
    const auto salt = new_token();
    std::array<char, 256> encoded{};
    const int failed =
        argon2id_hash_encoded(passes, memory_kib, lanes, password.data(), password.size(), salt.data(), salt.size(), hash_bytes, encoded.data(), encoded.size());
    if (failed != ARGON2_OK) throw std::runtime_error(std::string("Argon2: ") + argon2_error_message(failed));
    return encoded.data();
}

bool password_matches(const std::string& password, const std::string& hash) {
    return argon2id_verify(hash.c_str(), password.data(), password.size()) == ARGON2_OK;
}

const std::string& hash_of_nobody() {
    static const std::string hash = hash_password(new_token());
    return hash;
}

}  // namespace photo_web
