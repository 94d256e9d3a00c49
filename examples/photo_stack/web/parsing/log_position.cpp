#include "examples/photo_stack/web/parsing/log_position.hpp"

#include <cstdint>
#include <cstdlib>
#include <sstream>

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

log_position log_positions::of(const std::string& shard) const {
    const auto there = of_shard.find(shard);
    return there == of_shard.end() ? log_position{} : there->second;
}

std::string log_positions::to_text() const {
    std::string text;
    for (const auto& [shard, at] : of_shard) text += (text.empty() ? "" : " ") + shard + "=" + at.text;
    return text;
}

log_positions log_positions::from_text(const std::string& text) {
    log_positions out;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        const auto sign = word.find('=');
        if (sign != std::string::npos) out.of_shard[word.substr(0, sign)] = {word.substr(sign + 1)};
    }
    return out;
}

log_positions later_of(const log_positions& a, const log_positions& b) {
    auto out = a;
    for (const auto& [shard, at] : b.of_shard) out.of_shard[shard] = later_of(out.of(shard), at);
    return out;
}

}  // namespace photo_web
