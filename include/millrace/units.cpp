#include "millrace/units.hpp"

#include <charconv>
#include <limits>
#include <span>

namespace millrace {
namespace {

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

// Largest first: format takes the first that divides.
constexpr unit duration_units[] = {{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};
constexpr unit size_units[] = {{"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1}};

error not_taken(std::string_view text, std::string_view what) {
    return {errc::invalid_argument, "'" + std::string(text) + "' is not " + std::string(what)};
}

result<std::uint64_t> parse(std::string_view text, std::span<const unit> units, std::string_view unitless, std::uint64_t largest,
                            std::string_view what) {
    std::uint64_t number = 0;
    const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc{}) return not_taken(text, what);
    std::string_view suffix(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
    if (suffix.empty() && number == 0) return number;
    if (suffix.empty()) suffix = unitless;
    for (const auto& u : units) {
        if (u.name != suffix) continue;
        if (number > largest / u.factor) return not_taken(text, "in range");
        return number * u.factor;
    }
    return not_taken(text, what);
}

std::string format(std::uint64_t value, std::span<const unit> units) {
    if (value == 0) return "0";
    for (const auto& u : units)
        if (value % u.factor == 0) return std::to_string(value / u.factor) + std::string(u.name);
    return {};
}

}  // namespace

result<std::chrono::milliseconds> parse_duration(std::string_view text) {
    // Durations are added to clocks that count nanoseconds: 100 years leave room.
    constexpr std::uint64_t largest = 100ull * 365 * 24 * 3'600'000;
    auto parsed = parse(text, duration_units, "", largest, "a duration such as 250ms, 30s, 5m or 24h");
    if (!parsed) return parsed.failure();
    return std::chrono::milliseconds(parsed.value());
}

result<std::uint64_t> parse_size(std::string_view text) {
    return parse(text, size_units, "B", std::numeric_limits<std::int64_t>::max(), "a size such as 512B, 64KiB or 10GiB");
}

std::string format_duration(std::chrono::milliseconds duration) {
    return format(static_cast<std::uint64_t>(duration.count()), duration_units);
}

std::string format_size(std::uint64_t bytes) {
    return format(bytes, size_units);
}

}  // namespace millrace
