#include "broker/core/settings.hpp"

#include <catch2/catch.hpp>

namespace millrace::core {
namespace {

TEST_CASE("names are 1 to 255 characters of a small alphabet") {
    for (const auto* good : {"a", "photos", "A.b_c-9", "..."}) CHECK_FALSE(check_name("topic", good));
    CHECK_FALSE(check_name("topic", std::string(255, 'x')));
    for (const auto* bad : {"", "a b", "a/b", "é", "a\n", "a#"}) CHECK(check_name("topic", bad).code == errc::invalid_name);
    CHECK(check_name("topic", std::string(256, 'x')).what == "the topic name has 256 bytes: at most 255");
    CHECK(check_name("topic", std::string_view("a\0b", 3)).code == errc::invalid_name);
}

TEST_CASE("absent changes keep what was") {
    topic_settings before{4, duration{5}, 6, duration{7}, 8, limit_policy::expire};
    CHECK(apply(topic_changes{}, before, false).value() == before);
    topic_changes changes;
    changes.max_backlog = 0;
    before.max_backlog = 0;
    CHECK(apply(changes, before, false).value() == before);
}

TEST_CASE("topic settings have bounds") {
    const auto refused = [](auto set) {
        topic_changes c;
        set(c);
        const auto applied = apply(c, topic_settings{}, true);
        return !applied && applied.failure().code == errc::invalid_argument;
    };
    CHECK(refused([](auto& c) { c.partitions = 0; }));
    CHECK(refused([](auto& c) { c.partitions = 1025; }));
    CHECK_FALSE(refused([](auto& c) { c.partitions = 1024; }));
    CHECK(refused([](auto& c) { c.keep_age = duration{-1}; }));
    CHECK(refused([](auto& c) { c.max_age = std::chrono::hours{24 * 366 * 100 + 1}; }));
    CHECK_FALSE(refused([](auto& c) { c.max_age = std::chrono::hours{24 * 366 * 100}; }));
    topic_changes fewer;
    fewer.partitions = 3;
    topic_settings four;
    four.partitions = 4;
    CHECK(apply(fewer, four, false).failure().what == "partitions cannot shrink from 4 to 3: keys would lose their order");
}

TEST_CASE("a visibility timeout is 100 ms to 12 h") {
    const auto accepted = [](duration d) {
        subscription_changes changes;
        changes.visibility_timeout = d;
        return static_cast<bool>(apply(changes, subscription_settings{}));
    };
    CHECK(accepted(duration{100}));
    CHECK(accepted(std::chrono::hours{12}));
    CHECK_FALSE(accepted(duration{99}));
    CHECK_FALSE(accepted(std::chrono::hours{12} + duration{1}));
    CHECK(apply(subscription_changes{}, subscription_settings{}).value().visibility_timeout == std::chrono::seconds{30});
}

TEST_CASE("deliveries are 0 to 1000, and a backoff 0 ms to 24 h") {
    const auto accepted = [](std::uint32_t deliveries, duration least, duration most) {
        subscription_changes changes;
        changes.max_deliveries = deliveries;
        changes.backoff_min = least;
        changes.backoff_max = most;
        return static_cast<bool>(apply(changes, subscription_settings{}));
    };
    constexpr duration none{0}, step{1}, day = std::chrono::hours{24};
    CHECK(accepted(0, none, none));
    CHECK(accepted(1000, none, day));
    CHECK(accepted(1000, day, day));
    CHECK_FALSE(accepted(1001, none, none));
    CHECK_FALSE(accepted(0, none - step, none));
    CHECK_FALSE(accepted(0, none, day + step));
    CHECK_FALSE(accepted(0, step, none));
}

TEST_CASE("names have letters to the last of each alphabet, and nothing beside them") {
    for (const char c : {'a', 'z', 'A', 'Z', '0', '9'}) CHECK_FALSE(check_name("topic", std::string(1, c)));
    for (const char c : {'a' - 1, 'z' + 1, 'A' - 1, 'Z' + 1, '0' - 1, '9' + 1}) CHECK(check_name("topic", std::string(1, c)).code == errc::invalid_name);
}

}  // namespace
}  // namespace millrace::core
