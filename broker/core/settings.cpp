#include "broker/core/settings.hpp"

#include <algorithm>

namespace millrace::core {
namespace {

constexpr duration longest_age = std::chrono::hours{24 * 366 * 100};

error check_age(const char* what, duration age) {
    if (age >= duration{0} && age <= longest_age) return {};
    return {errc::invalid_argument, std::string(what) + " is " + std::to_string(age.count()) + " ms: give 0 (none) to 100 years"};
}

}  // namespace

result<topic_settings> apply(const topic_changes& changes, topic_settings before, bool is_new) {
    const auto partitions = changes.partitions.value_or(before.partitions);
    if (partitions < 1 || partitions > limits::partitions)
        return error{errc::invalid_argument, std::to_string(partitions) + " partitions: give 1 to " + std::to_string(limits::partitions)};
    if (!is_new && partitions < before.partitions)
        return error{errc::invalid_argument, "partitions cannot shrink from " + std::to_string(before.partitions) + " to " +
                                                 std::to_string(partitions) + ": keys would lose their order"};
    before.partitions = partitions;
    before.keep_age = changes.keep_age.value_or(before.keep_age);
    before.keep_bytes = changes.keep_bytes.value_or(before.keep_bytes);
    before.max_age = changes.max_age.value_or(before.max_age);
    before.max_backlog = changes.max_backlog.value_or(before.max_backlog);
    before.on_limit = changes.on_limit.value_or(before.on_limit);
    if (before.on_limit != limit_policy::refuse && before.on_limit != limit_policy::expire)
        return error{errc::invalid_argument, "a policy numbered " + std::to_string(static_cast<unsigned>(before.on_limit)) + ": give refuse or expire"};
    if (auto refused = check_age("keep", before.keep_age)) return refused;
    if (auto refused = check_age("max-age", before.max_age)) return refused;
    return before;
}

result<subscription_settings> apply(const subscription_changes& changes, subscription_settings before) {
    before.visibility_timeout = changes.visibility_timeout.value_or(before.visibility_timeout);
    before.max_deliveries = changes.max_deliveries.value_or(before.max_deliveries);
    before.backoff_min = changes.backoff_min.value_or(before.backoff_min);
    before.backoff_max = changes.backoff_max.value_or(before.backoff_max);
    before.dead_letter = changes.dead_letter.value_or(before.dead_letter);
    if (before.visibility_timeout < duration{100} || before.visibility_timeout > std::chrono::hours{12})
        return error{errc::invalid_argument,
                     "a visibility timeout of " + std::to_string(before.visibility_timeout.count()) + " ms: give 100ms to 12h"};
    if (before.backoff_min < duration{0} || before.backoff_max > std::chrono::hours{24} || before.backoff_min > before.backoff_max)
        return error{errc::invalid_argument, "a backoff of " + std::to_string(before.backoff_min.count()) + " to " +
                                                 std::to_string(before.backoff_max.count()) + " ms: give MIN..MAX from 0ms to 24h"};
    if (before.max_deliveries > 1000)
        return error{errc::invalid_argument, std::to_string(before.max_deliveries) + " deliveries at most: give 0 (no limit) to 1000"};
    if (!before.dead_letter.empty())
        if (auto refused = check_name("dead-letter topic", before.dead_letter)) return refused;
    return before;
}

duration subscription_settings::backoff_after(std::uint32_t failures) const {
    auto wait = backoff_min;
    for (std::uint32_t n = 1; n < failures && wait < backoff_max; ++n) wait *= 2;
    return std::min(wait, backoff_max);
}

error check_name(std::string_view what, std::string_view name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    };
    if (name.empty()) return {errc::invalid_name, "the " + std::string(what) + " name is empty"};
    if (name.size() > limits::name_bytes)
        return {errc::invalid_name, "the " + std::string(what) + " name has " + std::to_string(name.size()) + " bytes: at most 255"};
    if (!std::all_of(name.begin(), name.end(), allowed))
        return {errc::invalid_name, "the " + std::string(what) + " name '" + std::string(name) + "' has characters outside A-Z a-z 0-9 . _ -"};
    return {};
}

}  // namespace millrace::core
