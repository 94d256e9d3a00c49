// Messages that die, and what a consumer of their dead letter topic is given.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/record.hpp"
#include "tests/driver/bench.hpp"

namespace millrace::driver {

/// Topic "t" with one published batch of three, whose dead letters go to "dead"; everything of it is held by session 2.
inline partition_id with_dead_letters(bench& b, const std::string& payload = "photo") {
    b.topic("dead");
    const auto where = b.topic("t");
    subscription_changes changes;
    changes.dead_letter = "dead";
    b.submit(input::update_subscription{{session_id{0}, request_id{3}}, "t", "s", changes});
    b.publish(where, 3, payload);
    b.settle();
    b.subscribe(2, "t", 100);
    b.settle();
    return where;
}

inline void reject(bench& b, std::uint64_t at) {
    b.submit(input::reject{{session_id{2}, request_id{9}}, consumer_id{1}, {{0, {at}, {at}, 1}}, "not a photo"});
}

/// What a consumer of "dead" is given, as message and origin.
inline std::vector<std::pair<std::string, proto::dead_origin>> dead_letters(bench& b) {
    auto pushes = b.subscribe(3, "dead", 100).pushes;
    auto later = b.settle().pushes;
    pushes.insert(pushes.end(), later.begin(), later.end());
    std::vector<std::pair<std::string, proto::dead_origin>> found;
    for (const auto& p : pushes) {
        for (auto rest = p.run.records; !rest.empty(); rest = rest.subspan(*proto::record_length(rest))) {
            message m;
            std::optional<proto::dead_origin> died;
            REQUIRE_FALSE(proto::decode_record(rest.first(*proto::record_length(rest)), m, &died));
            REQUIRE(died);
            found.emplace_back(m.payload, *died);
        }
    }
    return found;
}

}  // namespace millrace::driver
