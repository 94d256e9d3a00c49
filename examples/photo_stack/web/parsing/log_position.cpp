#include "examples/photo_stack/web/parsing/log_position.hpp"

#include <cstdint>
#include <cstdlib>

namespace photo_web {

namespace {

/// Two hexadecimal numbers: four thousand million bytes each, and bytes.
std::uint64_t bytes_before(const log_position& p) {
    char* slash = nullptr;
    const auto high = std::strtoull(p.text.c_str(), &slash, 16);
    return *slash == '/' ? high << 32 | std::strtoull(slash + 1, nullptr, 16) : 0;
}

}  // namespace

log_position later_of(const log_position& a, const log_position& b) { return bytes_before(a) < bytes_before(b) ? b : a; }

}  // namespace photo_web
