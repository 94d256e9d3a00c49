#include "examples/photo_stack/web/secrets.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <span>
#include <stdexcept>

namespace photo_web {
namespace {

constexpr std::size_t token_bytes = 32;
using digest = std::array<unsigned char, 32>;

std::string hexadecimal(std::span<const unsigned char> bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const auto b : bytes) {
        out += digits[b >> 4];
        out += digits[b & 15];
    }
    return out;
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

std::string new_token() {
    std::array<unsigned char, token_bytes> random;
    if (RAND_bytes(random.data(), random.size()) != 1) throw std::runtime_error("the system has no random numbers");
    std::array<unsigned char, 4 * ((token_bytes + 2) / 3) + 1> text;
    EVP_EncodeBlock(text.data(), random.data(), random.size());
    std::string token(text.begin(), text.begin() + (token_bytes * 8 + 5) / 6);  // without padding
    for (auto& c : token) c = c == '+' ? '-' : c == '/' ? '_' : c;
    return token;
}

std::string digest_of(std::string_view token) {
    digest out;
    if (EVP_Digest(token.data(), token.size(), out.data(), nullptr, EVP_sha256(), nullptr) != 1) throw std::runtime_error("SHA-256 failed");
    return hexadecimal(out);
}

std::string keyed_digest_of(std::string_view secret, std::string_view text) {
    digest out;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes_of(text), text.size(), out.data(), nullptr) == nullptr)
        throw std::runtime_error("HMAC failed");
    return hexadecimal(out);
}

bool same_secret(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace photo_web
